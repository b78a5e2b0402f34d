"""What answers after a version has failed a look: never less than before. An answer that comes too late, and an engine
that is gone just then, cannot be provoked: management and probe are doubles.
"""

from dataclasses import replace
from pathlib import Path

import pytest

from handlers.inference.workers.slot import Slot
from handlers.settings import Settings
from handlers.sockets import workers_folder
from handlers.torchserve import reconcile
from handlers.torchserve.inference_port import ProbeError
from handlers.torchserve.management import RegisteredVersion, Worker
from handlers.torchserve.reconcile import Reconciler
from model_store.directory.directory_store import DirectoryStore
from model_store.documents import encode
from model_store.manifest import Pointer, now
from model_store.versions import VersionStore


class Engine:
    """A server with one ready worker for each registration, whose slot nobody has moved; ``late``: nobody answers."""

    def __init__(self) -> None:
        self.registered: dict[int, RegisteredVersion] = {}
        self.late = False

    def begin(self, *numbers: int, pid: int = 1) -> None:
        """These are registered; the last one is the default."""
        worker = Worker(pid, True, False)
        self.registered = {one: RegisteredVersion(one, one == numbers[-1], 1, (worker,), 0) for one in numbers}

    @property
    def default(self) -> int:
        """Who answers everybody."""
        return next(number for number, one in self.registered.items() if one.default)

    def versions(self) -> dict[int, RegisteredVersion]:
        return dict(self.registered)

    def set_default(self, number: int) -> None:
        self.registered = {one: replace(each, default=one == number) for one, each in self.registered.items()}

    def unregister(self, number: int) -> None:
        del self.registered[number]

    def ask(self, address: int | None) -> int:
        if self.late and address is None:
            raise ProbeError("no answer in time")
        return self.default if address is None else address

    def close(self) -> None:
        """Nothing."""


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Engine:
    engine = Engine()
    monkeypatch.setattr(reconcile, "ManagementClient", lambda _: engine)
    monkeypatch.setattr(reconcile, "Probe", lambda _: engine)
    return engine


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = Settings(data=tmp_path)
    settings.models_folder.mkdir(parents=True)
    return settings


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path / "store")


def pointed(store: DirectoryStore, number: int) -> None:
    pointer = Pointer(version=number, previous=None, reason="", changed_at=now(), epoch=1, removing=())
    store.write("versions/current.json", encode(pointer))


def test_one_late_answer_does_not_tell_clients_that_nothing_is_learnt(
    engine: Engine, settings: Settings, store: DirectoryStore
) -> None:
    """Version 0 stays registered for a moment after the first version has taken over."""
    pointed(store, 1)
    engine.begin(0, 1)
    with Reconciler(settings, VersionStore(store), clock=lambda: 7.0) as reconciler:
        assert reconciler.step().served == 1
        engine.begin(0, 1, pid=2)
        engine.late = True
        assert "no answer in time" in reconciler.step().message
    assert engine.default == 1


def test_that_nothing_is_learnt_is_not_put_into_a_slot(
    engine: Engine, settings: Settings, store: DirectoryStore
) -> None:
    """Its workers could not load that, and would end at each request."""
    engine.begin(0)
    with Reconciler(settings, VersionStore(store), clock=lambda: 7.0) as reconciler:
        assert reconciler.step().served == 0
        pointed(store, 1)
        engine.begin(1)  # it was started again meanwhile
        engine.late = True
        assert "no answer in time" in reconciler.step().message
    assert Slot(workers_folder(settings), 1).served() == 1
