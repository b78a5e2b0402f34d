"""What this process may write before it was started and after it stopped."""

from collections.abc import Callable

import pytest

from handlers.settings import Settings
from handlers.updater.errors import LeaseLostError
from handlers.updater.leader.leadership import Leadership
from handlers.updater.metrics import Metrics
from handlers.updater.status import Status
from model_store.directory.directory_store import DirectoryStore
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
