"""A replica that never learns is no updater that stands by: nobody is to be woken because it is not active."""

from pathlib import Path

import pytest

from handlers.updater.service import Updater
from lucir_core.config.phase_config import load_preset
from model_store.directory.directory_store import DirectoryStore
from tests.support.learning.bench import digit_settings
from tests.support.quick_settings import changed


@pytest.mark.parametrize("learns", [True, False])
def test_only_who_may_learn_tells_whether_it_is_active(tmp_path: Path, learns: bool) -> None:
    settings = changed(digit_settings(tmp_path / "data"), updater={"learns": learns})
    config = load_preset(settings.learning.preset, settings.learning.overrides)
    updater = Updater(settings, config, DirectoryStore(tmp_path / "store"))
    active = updater.metrics.registry.get_sample_value("lucir_updater_active")
    assert active == (0.0 if learns else None)
