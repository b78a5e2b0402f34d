"""A pointer that somebody bent: the updater says what is wrong and how to mend it, and goes on when it is mended."""

import json
import threading
from pathlib import Path

from handlers.settings import Settings
from handlers.updater.service import Updater
from lucir_core.config.phase_config import load_preset
from model_store.directory.directory_store import DirectoryStore
from model_store.versions import POINTER, VersionStore
from tests.handlers.conftest import Drop
from tests.support.waiting import STOP_SECONDS, wait_for
from tools.manifests import make_manifest


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


def test_who_takes_over_writes_its_epoch_into_the_pointer_before_anything_is_dropped(
    settings: Settings, store: DirectoryStore, tmp_path: Path
) -> None:
    """From then on a predecessor that sleeps moves it no more."""
    (tmp_path / "model.onnx").write_bytes(b"network")
    versions = VersionStore(store)
    versions.publish(make_manifest(1), {"model.onnx": tmp_path / "model.onnx"})
    versions.point_to(1, "by hand")
    before = json.loads(store.read(POINTER)).get("epoch")
    updater = Updater(settings, load_preset("digits"), store)
    thread = threading.Thread(target=updater.run)
    thread.start()
    try:
        wait_for(lambda: json.loads(store.read(POINTER)).get("epoch") != before)
    finally:
        updater.stopping.set()
        thread.join(STOP_SECONDS)
    assert not thread.is_alive()
