"""A store folder that commit a175682 wrote is opened, served, edited and learnt on (see ``tests/data/README.md``)."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from handlers.bucket.update_documents import Done
from handlers.inference.sessions.headed_session import Inputs
from handlers.inference.version_model import VersionModel
from handlers.settings import Settings
from model_store.directory.directory_store import DirectoryStore
from model_store.versions import VersionStore
from tests.handlers.conftest import Drop, Launch
from tests.support.present import present
from tests.support.quick_settings import changed
from tests.support.stores.old_store import OLD
from tests.support.stores.outcome import ended, hashes, learnt_once
from tests.support.waiting import wait_for

NAMES = ("one", "two", "zero", "trois")
LIMIT = 120.0
"""Seconds for one update, below this test's limit."""


@pytest.fixture
def old(root: Path) -> Path:
    """A copy of the old folder, where the updater of the test looks for its store."""
    shutil.copytree(OLD, root)
    return root


def test_its_version_is_verified_and_answers(old: Path) -> None:
    versions = VersionStore(DirectoryStore(old))
    assert (present(versions.current()).version, versions.numbers()) == (4, [1, 3, 4])
    model = VersionModel.load(old / "versions" / "4")
    assert model.classes == NAMES
    images = [Image.open(path).convert("RGB") for path in sorted((old / "archive").rglob("*.png"))]
    batch = np.stack([np.asarray(image.resize((model.size, model.size))) for image in images])
    answers = model.classify(Inputs(batch), [len(NAMES)] * len(batch))
    assert len(answers) == 48
    assert all({one.name for one in answer.predictions} == set(NAMES) for answer in answers)


@pytest.mark.slow
def test_the_waiting_rename_is_done_and_one_more_class_is_learnt(
    old: Path, drop: Drop, settings: Settings, launch: Launch
) -> None:
    overrides = {"network": "resnet8", "size": 8, "resize": 8, "min_steps": 2}
    drop("four", 4)
    process = launch(changed(settings, learning={"overrides": settings.learning.overrides | overrides}))

    def done(update: str) -> Done:
        return wait_for(lambda: ended(old, update), process, patience=LIMIT)

    assert (done("000004").result, done("000005").result) == ("published", "published")
    versions = VersionStore(DirectoryStore(old))
    newest = versions.manifest(present(versions.current()).version)
    assert set(newest.classes) == {"one", "deux", "zero", "trois", "four"}
    assert VersionModel.load(old / "versions" / str(newest.version)).classes == newest.classes
    learnt_once(old, newest.version)
    assert len(hashes(old, "archive")) == 60
    assert not (old / "incoming" / "four").exists() or not any((old / "incoming" / "four").iterdir())
