"""A pointer that somebody bent: the updater says what is wrong and how to mend it, and goes on when it is mended."""

import json
import threading

from handlers.settings import Settings
from handlers.updater.service import Updater
from lucir_core.config.phase_config import load_preset
from model_store.directory.directory_store import DirectoryStore
from model_store.versions import POINTER
from tests.handlers.conftest import Drop
from tests.support.waiting import STOP_SECONDS, wait_for


def test_a_pointer_to_nothing_or_to_no_json_holds_a_drop_up(
    settings: Settings, store: DirectoryStore, drop: Drop
) -> None:
    pointer = {"version": 7, "previous": None, "reason": "by hand", "changed_at": "2026-01-01T00:00:00Z"}
    store.write(POINTER, json.dumps(pointer).encode())
    drop("zero", 0)
    drop("one", 1)
    before = [info.key for info in store.list("incoming/")]
    updater = Updater(settings, load_preset("digits"), store)
    thread = threading.Thread(target=updater.run)
    thread.start()

    def said(*words: str) -> bool:
        messages = [error["message"] for error in updater.status.snapshot()["errors"]]
        return any(all(word in message for word in words) for message in messages)

    try:
        wait_for(lambda: said("there is no version 7", "rollback"))
        store.write(POINTER, b"{")
        wait_for(lambda: said("current.json", "lucir rollback"))
        assert not list(store.folders("updates/"))
        assert [info.key for info in store.list("incoming/")] == before
    finally:
        updater.stopping.set()
        thread.join(STOP_SECONDS)
    assert not thread.is_alive()
