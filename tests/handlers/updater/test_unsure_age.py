"""Images to label do not wait for somebody to look: the updater deletes those that are too old."""

import hashlib
import os
import threading
import time
from pathlib import Path

from handlers.labelling.unsure_images import Guess, UnsureImages, UnsureRules
from handlers.settings import LabellingSettings, Settings
from handlers.updater.service import Updater
from lucir_core.config.phase_config import load_preset
from model_store.directory.directory_store import DirectoryStore
from tests.support.waiting import STOP_SECONDS, wait_for


def test_an_idle_updater_deletes_what_is_too_old(settings: Settings, store: DirectoryStore) -> None:
    keeping = LabellingSettings(keep_images=5, keep_days=1)
    unsure = UnsureImages(UnsureRules.of(keeping, settings.data))
    for data in (b"fresh", b"old"):
        unsure.offer(data, Guess(1, "cat", 0.1, None), {})
    for path in (settings.data / "unsure").glob(hashlib.sha256(b"old").hexdigest() + ".*"):
        os.utime(path, (time.time() - 90_000,) * 2)
    assert len(_images(settings.data)) == 2
    updater = Updater(settings.model_copy(update={"labelling": keeping}), load_preset("digits"), store)
    thread = threading.Thread(target=updater.run)
    thread.start()
    try:
        wait_for(lambda: len(_images(settings.data)) == 1)
    finally:
        updater.stopping.set()
        thread.join(STOP_SECONDS)
    assert [unsure.data(one.id) for one in unsure.newest(5)] == [b"fresh"]


def _images(data: Path) -> list[Path]:
    return list((data / "unsure").glob("*.image"))
