"""What this process may write before it was started and after it stopped."""

import threading
from collections.abc import Callable

import pytest

from handlers.settings import Settings
from handlers.updater.errors import LeaseLostError
from handlers.updater.leader.leadership import Leadership
from handlers.updater.leader.lease import Lease
from handlers.updater.metrics import Metrics
from handlers.updater.status import Status
from model_store.directory.directory_store import DirectoryStore
from model_store.objects import StoreError
from tests.support.waiting import PATIENCE


@pytest.mark.parametrize("ask", [Leadership.hold, Leadership.confirm])
def test_only_an_active_updater_may_write(
    ask: Callable[[Leadership], None], settings: Settings, store: DirectoryStore
) -> None:
    leadership = Leadership(settings, store, Metrics(), Status(store.url))
    with pytest.raises(LeaseLostError, match="has not been started"):
        ask(leadership)
    leadership.start()
    assert leadership.wait_active(PATIENCE)
    ask(leadership)
    leadership.stop()
    with pytest.raises(LeaseLostError):
        ask(leadership)


def test_trouble_with_the_lease_is_told_once_and_again_when_it_comes_back(
    settings: Settings, store: DirectoryStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    turns = iter(["full", "full", "full", "away", "", "away"])
    done = threading.Event()

    def tend(_: Lease) -> None:
        trouble = next(turns, None)
        if trouble is None:
            done.set()
        if trouble:
            raise StoreError(trouble)

    monkeypatch.setattr(Lease, "tend", tend)
    monkeypatch.setattr(Lease, "look_seconds", 0.001)
    metrics = Metrics()
    status = Status(store.url)
    leadership = Leadership(settings, store, metrics, status)
    leadership.start()
    assert done.wait(PATIENCE)
    leadership.stop()
    told = [text.rpartition(": ")[2] for text in caplog.messages if "cannot be looked after" in text]
    assert told == ["full", "away", "away"]
    assert [(one["message"], one["count"]) for one in status.snapshot()["errors"]] == [("away", 2), ("full", 3)]
    assert metrics.registry.get_sample_value("lucir_store_errors_total") == 5
