"""With which preset an update goes on: the settings, what a person chose since, or a message with the command."""

import shutil
from pathlib import Path

import pytest

from handlers.bucket.update_documents import ChosenPreset
from handlers.bucket.updates import UpdateRecords
from handlers.settings import LearningSettings
from handlers.updater.context.way import find_way
from handlers.updater.errors import BlockedError
from model_store.directory.directory_store import DirectoryStore
from model_store.versions import VersionStore
from tests.handlers.updater.context.test_preset import OVERRIDES
from tests.support.stores.old_store import OLD


def test_the_settings_then_what_was_chosen_then_a_command(tmp_path: Path) -> None:
    shutil.copytree(OLD, tmp_path / "old")
    store = DirectoryStore(tmp_path / "old")
    records, served = UpdateRecords(store), VersionStore(store).manifest(4)
    photo = LearningSettings(preset="photo")
    assert find_way(photo, records, None).preset == "photo"
    assert find_way(LearningSettings(preset="digits", overrides=OVERRIDES), records, served).preset == "digits"
    with pytest.raises(BlockedError, match=r"version 4 was learnt with .* lucir relearn --preset photo"):
        find_way(photo, records, served)
    chosen = ChosenPreset(update_id="000009", preset="digits", overrides=OVERRIDES)
    other = ChosenPreset(update_id="000010", preset="small")
    for _ in range(2):  # a step of an update may be repeated
        records.add_presets("000009", chosen)
        records.add_presets("000010", other)
    assert [one.update_id for one in records.presets()] == ["000009", "000010"]
    assert find_way(photo, records, served).overrides == OVERRIDES


def test_the_first_version_waits_for_weights_that_are_missing(tmp_path: Path) -> None:
    records = UpdateRecords(DirectoryStore(tmp_path / "store"))
    gone = tmp_path / "gone.pth"
    named = LearningSettings(preset="photo", overrides={"weights": str(gone)})
    with pytest.raises(BlockedError, match=r"cannot be learnt with preset photo: weights '.*gone\.pth' is not a file"):
        find_way(named, records, None)
    gone.touch()  # whether it fits is told when it is loaded
    assert find_way(named, records, None).config.weights == str(gone)
    timm = LearningSettings(preset="photo", overrides={"network": "timm:mobilenetv3_small_050"})
    with pytest.raises(BlockedError, match=r"has no weights: name a local file as learning\.overrides\.weights"):
        find_way(timm, records, None)
