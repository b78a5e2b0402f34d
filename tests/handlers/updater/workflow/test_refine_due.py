"""When a backbone is refined, as far as settings, machine and versions say."""

import os
from pathlib import Path

import pytest

from handlers.bucket.edit_documents import Relearn
from handlers.settings import Settings
from handlers.updater.workflow import refine_due
from handlers.updater.workflow.refine_due import is_open, wants_refinement
from model_store.manifest import Refinement
from tests.support.quick_settings import changed
from tools.manifests import make_manifest


@pytest.mark.parametrize(
    ("refine", "device", "gpu", "wanted"),
    [
        ("auto", "auto", True, True),
        ("auto", "auto", False, False),
        ("auto", "cpu", True, False),
        ("auto", "cuda:1", False, True),
        ("on", "cpu", False, True),
        ("off", "auto", True, False),
    ],
)
def test_auto_is_where_there_is_a_gpu(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, refine: str, device: str, gpu: bool, wanted: bool
) -> None:
    monkeypatch.setattr(refine_due, "has_gpu", lambda: gpu)
    assert wants_refinement(changed(settings, learning={"refine": refine, "device": device})) is wanted


@pytest.mark.parametrize(
    ("script", "there"), [("echo GPU 0: H100", True), ("echo No devices were found", False), ("exit 9", False)]
)
def test_a_gpu_is_what_its_driver_lists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, there: bool
) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    refine_due.has_gpu.cache_clear()
    assert refine_due.has_gpu() is there
    refine_due.has_gpu.cache_clear()


def test_only_what_is_served_in_the_end_with_a_frozen_backbone_is_refined() -> None:
    frozen = make_manifest(3).model_copy(update={"config": {"frozen": True}})
    found = Refinement(images=20, before=0.8, after=0.9, low=0.01, high=0.2, learnt_from=60)
    assert is_open(frozen)
    assert is_open(frozen.model_copy(update={"kind": "edited"}))
    assert not is_open(frozen.model_copy(update={"kind": "provisional"}))
    assert not is_open(frozen.model_copy(update={"refinement": found}))
    assert not is_open(make_manifest(3))
    assert str(found) == "90.0 against 80.0 % on 20 images, difference +10.0 (+1.0 to +20.0)"


def test_a_request_names_one_thing() -> None:
    for wrong in ({"refine": True, "preset": "photo"}, {"refine": True, "classes": ("cat",)}, {"refine": False}):
        with pytest.raises(ValueError, match="name either classes"):
            Relearn.model_validate(wrong)
