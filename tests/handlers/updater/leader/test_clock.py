"""The wall clock jumps while a real updater works."""

import os
import signal
from datetime import timedelta
from pathlib import Path

import pytest

from handlers.settings import Settings
from model_store.directory.directory_store import DirectoryStore
from model_store.versions import VersionStore
from tests.handlers.conftest import Drop, Launch
from tests.support.processes.updater_process import end, hold_child, status_of
from tests.support.quick_settings import changed
from tests.support.stores.outcome import ended, hashes, learnt_once
from tests.support.waiting import wait_for


@pytest.mark.slow
def test_jumps_lose_nothing_and_delay_nothing(
    settings: Settings, root: Path, drop: Drop, launch: Launch, tmp_path: Path
) -> None:
    settings = changed(settings, updater={"lease_seconds": 3, "settle_seconds": 2})
    clock = tmp_path / "clock"

    def set_clock(wrong_by: timedelta) -> None:
        (tmp_path / "set").write_text(str(wrong_by.total_seconds()))
        (tmp_path / "set").replace(clock)

    set_clock(timedelta())
    process = launch(settings, clock=clock)

    # Forward while folders settle, back while they are learnt.
    wait_for(lambda: status_of(settings), process)
    drop("zero", 0)
    drop("one", 1)
    set_clock(timedelta(days=40))
    child = hold_child(settings, process)
    set_clock(timedelta(days=-40))
    os.kill(child, signal.SIGCONT)
    first = wait_for(lambda: ended(root, "000001"), process)
    assert first.result == "published"

    # The files that come now are forty days in the future; then an hour passes at once.
    drop("two", 2)
    child = hold_child(settings, process)
    set_clock(timedelta(hours=1))
    os.kill(child, signal.SIGCONT)
    second = wait_for(lambda: ended(root, "000002"), process)
    assert second.result == "published"
    assert second.finished_at - first.finished_at > timedelta(days=40)  # the updater did see the wrong clocks

    dropped = hashes(root, "archive")
    assert len(dropped) == 36
    assert hashes(root, "incoming", "rejected") == []
    learnt_once(root, 2)
    assert VersionStore(DirectoryStore(root)).numbers() == [1, 2]
    assert status_of(settings)["lease"]["state"] == "active"
    end(process)
