"""The copy at eight bits that a version takes along: of a real network, slow enough to need one."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from handlers.inference.sessions import serving_copy
from handlers.settings import Settings
from handlers.updater.context.version_spec import VersionSpec
from handlers.updater.release.quantised import write_quantised
from handlers.updater.training.messages import STATE
from lucir_core.config.phase_config import PhaseConfig
from lucir_core.export.onnx_export import compare_onnx, export_onnx
from lucir_core.memory.image_blobs import ImageBlobs
from lucir_core.state import LearnerState
from model_store.layout import EXEMPLARS, HOLDOUT, MODEL, QUANTISED
from model_store.manifest import Preprocessing
from tests.lucir_core.export.test_onnx_export import stirred
from tests.support.learning.specs import make_spec

SIDE = 64
IMAGES = np.random.default_rng(0).integers(0, 256, (12, SIDE, SIDE, 3), np.uint8)


@pytest.fixture(scope="module")
def state() -> LearnerState:
    return stirred(PhaseConfig(network="resnet18", size=SIDE, resize=SIDE), 3)


@pytest.fixture
def spec(state: LearnerState, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> VersionSpec:
    """Twelve exemplars, nothing held out. How much faster eight bits are is the processor's matter."""
    monkeypatch.setattr(serving_copy, "GAIN", 0.0)
    export_onnx(state, tmp_path / MODEL)
    blobs = ImageBlobs.from_arrays(IMAGES, np.arange(12) % 3, state.classes)
    (tmp_path / STATE).mkdir()
    blobs.save(tmp_path / STATE / EXEMPLARS)
    ImageBlobs.empty(state.classes).save(tmp_path / HOLDOUT)
    return replace(make_spec(tmp_path, state.classes), preprocessing=Preprocessing(size=SIDE, resize=SIDE))


def settings(folder: Path, **serving: Any) -> Settings:
    return Settings.model_validate({"data": folder, "serving": {"copy_max_probability_change": 1.0, **serving}})


@pytest.mark.slow
def test_a_version_takes_along_a_copy_that_agrees(state: LearnerState, spec: VersionSpec, tmp_path: Path) -> None:
    write_quantised(spec, settings(tmp_path, copy_max_changes=1.0))
    check = compare_onnx(state, tmp_path / QUANTISED, IMAGES)
    assert 0 < check.max_cosine_difference < 0.3
    assert (tmp_path / QUANTISED).stat().st_size < (tmp_path / MODEL).stat().st_size / 3
    assert not (tmp_path / "quantised.partial").exists()


@pytest.mark.slow
@pytest.mark.parametrize("serving", [{"copies": "off"}, {"copy_max_probability_change": 0.0}], ids=["off", "differs"])
def test_no_copy_is_better_than_one_that_is_not_wanted(
    spec: VersionSpec, tmp_path: Path, serving: dict[str, Any]
) -> None:
    write_quantised(spec, settings(tmp_path, **serving))
    assert sorted(path.name for path in tmp_path.iterdir() if "int8" in path.name or "partial" in path.name) == []
