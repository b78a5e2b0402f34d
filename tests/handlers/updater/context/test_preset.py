"""Which preset is learnt with when nobody chose one."""

import dataclasses
import logging
import shutil
from pathlib import Path

import pytest

from handlers.settings import LearningSettings, Settings, UpdaterSettings
from handlers.updater.context.preset import difference, fitting_preset, resolved, unused_weights
from lucir_core.config.phase_config import load_preset
from lucir_core.weights.pretrained import IMAGENET
from model_store.directory.directory_store import DirectoryStore
from model_store.objects import StoreUnavailableError
from model_store.versions import VersionStore
from tests.support.present import present
from tests.support.stores.old_store import OLD

OVERRIDES = {"network": "resnet8", "size": 8, "resize": 8}


@pytest.fixture
def empty(tmp_path: Path) -> VersionStore:
    return VersionStore(DirectoryStore(tmp_path / "store"))


@pytest.fixture
def old(tmp_path: Path) -> VersionStore:
    """A store that was learnt with the preset ``digits``."""
    shutil.copytree(OLD, tmp_path / "old")
    return VersionStore(DirectoryStore(tmp_path / "old"))


def test_what_somebody_chose_stays_else_the_store_decides(empty: VersionStore, old: VersionStore) -> None:
    assert resolved(Settings(), empty).learning.preset == "photo"
    assert resolved(Settings(learning=LearningSettings(overrides=OVERRIDES)), old).learning.preset == "digits"
    chosen = Settings(learning=LearningSettings(preset="small"), updater=UpdaterSettings(min_images=7))
    assert resolved(chosen, old) == chosen


def test_without_the_weights_it_learns_from_scratch_and_says_so(
    empty: VersionStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    gone = dataclasses.replace(IMAGENET["efficientnet_lite0"], package="package-that-is-not-there")
    monkeypatch.setitem(IMAGENET, "efficientnet_lite0", gone)
    with caplog.at_level(logging.WARNING):
        settings = resolved(Settings(), empty)
    assert settings.learning.preset == "small"
    assert "pip install package-that-is-not-there" in caplog.text


def test_a_store_that_is_away_is_told(
    empty: VersionStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def away() -> None:
        raise StoreUnavailableError("no answer")

    monkeypatch.setattr(empty, "current", away)
    with caplog.at_level(logging.WARNING):
        assert resolved(Settings(), empty).learning.preset == "photo"
    assert "the store cannot be asked what it was learnt with: no answer" in caplog.text


def test_another_network_is_a_difference_with_a_name(old: VersionStore) -> None:
    served = old.manifest(4)
    assert difference(load_preset("digits", OVERRIDES), served) is None
    assert fitting_preset(served, OVERRIDES) == "digits"
    assert fitting_preset(served, {}) is None
    assert "was learnt with method=lucir, not method=analytic" in str(difference(load_preset("photo"), served))


def test_weights_that_a_learnt_store_does_not_start_from_are_told(old: VersionStore) -> None:
    served = old.manifest(4)
    assert unused_weights(load_preset("digits", OVERRIDES), served) is None
    told = unused_weights(load_preset("digits", {**OVERRIDES, "weights": "mine.pth"}), served)
    assert "mine.pth is used by lucir relearn --preset" in present(told)
    assert unused_weights(load_preset("photo"), served) is None  # `difference` tells more
