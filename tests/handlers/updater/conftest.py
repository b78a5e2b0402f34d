"""What an update needs, on a real store, without a server."""

from collections.abc import Iterator

import pytest

from handlers.bucket.updates import UpdateRecords
from handlers.settings import Settings
from handlers.updater import service
from handlers.updater.context.update import Services
from handlers.updater.leader.leadership import Leadership
from handlers.updater.metrics import Metrics
from handlers.updater.status import Status
from handlers.updater.training.process import Child
from lucir_core.config.phase_config import load_preset
from model_store.directory.directory_store import DirectoryStore
from model_store.versions import VersionStore
from tests.support.learning.bench import InProcess
from tests.support.waiting import PATIENCE


@pytest.fixture
def services(settings: Settings, store: DirectoryStore) -> Iterator[Services]:
    """Of an active updater; every version counts as served at once."""
    metrics, status = Metrics(), Status(store.url)
    leadership = Leadership(settings, store, metrics, status)
    leadership.start()
    assert leadership.wait_active(PATIENCE)
    yield Services(
        settings=settings,
        config=load_preset("digits"),
        objects=store,
        versions=VersionStore(store),
        records=UpdateRecords(store),
        metrics=metrics,
        status=status,
        wait_served=lambda *_: True,
        expect_provisional=lambda *_: None,
        leadership=leadership,
        child=Child(),
    )
    leadership.stop()


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """What an updater learns it learns in this process."""
    monkeypatch.setattr(service, "Child", InProcess)
