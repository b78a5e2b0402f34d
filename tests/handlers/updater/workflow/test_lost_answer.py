"""The store carries out what it was asked, but its answer does not arrive."""

import threading
from typing import Any

from handlers.bucket.updates import UpdateRecords
from handlers.settings import Settings
from handlers.updater.service import Updater
from lucir_core.config.phase_config import load_preset
from model_store.directory.directory_store import DirectoryStore
from model_store.objects import ObjectInfo, StoreUnavailableError
from tests.handlers.conftest import Drop
from tests.support.present import present
from tests.support.waiting import STOP_SECONDS, wait_for


class Forgetful(DirectoryStore):
    """Does not answer the first time that an intent is written."""

    answered = True

    def write(self, key: str, data: bytes, **options: Any) -> ObjectInfo:
        info = super().write(key, data, **options)
        if self.answered and key.endswith("/intent.json"):
            self.answered = False
            raise StoreUnavailableError("the connection failed midway")
        return info


def test_an_update_that_was_begun_without_an_answer_is_gone_on_with(settings: Settings, drop: Drop) -> None:
    """And no second one is begun for the same folders."""
    for name in ("zero", "one"):
        (drop(name, 0, 0, marked=True) / "broken.png").write_bytes(b"no image")
    store = Forgetful(settings.data / "store")
    updater = Updater(settings, load_preset("digits"), store)
    thread = threading.Thread(target=updater.run)
    thread.start()
    try:
        wait_for(lambda: updater.status.snapshot()["last_update"])
        wait_for(lambda: not list(store.list("incoming/")))
    finally:
        updater.stopping.set()
        thread.join(STOP_SECONDS)
    assert not thread.is_alive()
    assert not store.answered
    records = UpdateRecords(store)
    assert records.ids() == ["000001"]
    assert present(records.done("000001")).result == "rejected"
