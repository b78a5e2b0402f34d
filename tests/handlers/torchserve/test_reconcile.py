"""Each step towards the version that is wanted, where an engine or a worker is in a state that cannot be provoked at
will: an answer that comes too late, a worker that never loads, another number that answers. Management and probe are
doubles here; what a real engine does is in ``test_engine_contract``.
"""

import errno
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from handlers.inference.workers.slot import Slot, socket_of
from handlers.settings import Settings
from handlers.sockets import workers_folder
from handlers.torchserve import reconcile
from handlers.torchserve.attempts import FIRST_PAUSE_SECONDS, MOST_ATTEMPTS, RARE_SECONDS, WORKER_DEATHS
from handlers.torchserve.in_place import exchange
from handlers.torchserve.inference_port import LateError, Probe
from handlers.torchserve.management import Worker
from handlers.torchserve.reconcile import CHECK_SECONDS, Reconciler
from handlers.torchserve.retire import GRACE_SECONDS
from model_store.directory.directory_store import DirectoryStore
from model_store.documents import encode
from model_store.local_files import explain
from model_store.manifest import Pointer, now
from model_store.versions import VersionStore
from tests.support.servers.engine_double import Engine
from tools.manifests import make_manifest


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
    workers_folder(settings).mkdir(parents=True)
    return settings


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path / "store")


@pytest.fixture
def clock() -> list[float]:
    """The time, in one place."""
    return [7.0]


@pytest.fixture
def reconciler(engine: Engine, settings: Settings, store: DirectoryStore, clock: list[float]) -> Iterator[Reconciler]:
    with Reconciler(settings, VersionStore(store), clock=lambda: clock[0]) as reconciler:
        yield reconciler


def pointed(store: DirectoryStore, number: int) -> None:
    pointer = Pointer(version=number, previous=None, reason="", changed_at=now(), epoch=1, removing=())
    store.write("versions/current.json", encode(pointer))


def published(store: DirectoryStore, tmp_path: Path, number: int) -> None:
    (tmp_path / "model.onnx").write_bytes(b"network")
    VersionStore(store).publish(make_manifest(number), {"model.onnx": tmp_path / "model.onnx"})


def serve(engine: Engine, reconciler: Reconciler, store: DirectoryStore, pid: int = 1) -> None:
    """Version 1 is the only one that is registered, wanted and confirmed."""
    pointed(store, 1)
    engine.begin(1, pid=pid)
    assert reconciler.step().served == 1


@pytest.mark.parametrize("seen", [True, False])
def test_late_answers_do_not_tell_clients_that_nothing_is_learnt(
    engine: Engine, reconciler: Reconciler, store: DirectoryStore, clock: list[float], seen: bool
) -> None:
    """Version 0 stays registered for a moment after the first version has taken over. ``seen``: it was confirmed."""
    if seen:
        pointed(store, 1)
        engine.begin(0, 1)
        assert reconciler.step().served == 1
        engine.begin(0, 1, pid=2)
    else:
        engine.begin(0)
        assert reconciler.step().served == 0
        pointed(store, 1)
        engine.begin(1, 0)
    engine.late = True
    state = reconciler.step()
    assert (state.phase, state.message) == ("starting", "version 1 is asked again: no answer in time")
    assert engine.default == 1, "clients were answered by it: it is not taken away for one late answer"
    clock[0] += 61
    assert reconciler.step().phase == "failed"
    assert engine.default == 1
    engine.late = False
    assert reconciler.step().phase == "failed", "it rests"
    assert engine.default == 1
    clock[0] += FIRST_PAUSE_SECONDS
    state = reconciler.step()
    assert (state.served, state.message) == (1, ""), "it is served, whatever it took"


def test_late_answers_do_not_take_the_only_version_away(
    engine: Engine, reconciler: Reconciler, store: DirectoryStore, clock: list[float]
) -> None:
    """A worker was started again, and the machine has too much to do."""
    serve(engine, reconciler, store)
    engine.begin(1, pid=2)
    engine.late = True
    clock[0] += CHECK_SECONDS
    assert reconciler.step().message == "version 1 is asked again: no answer in time"
    assert (engine.calls, list(engine.registered)) == ([], [1])
    engine.late = False
    assert reconciler.step().served == 1


@pytest.mark.parametrize("seen", [True, False])
def test_a_worker_that_ends_while_it_is_asked_does_not_take_the_only_version_away(
    engine: Engine, reconciler: Reconciler, store: DirectoryStore, clock: list[float], seen: bool
) -> None:
    """For want of memory, say. ``seen``: the version was confirmed before."""
    pointed(store, 1)
    if seen:
        serve(engine, reconciler, store, pid=10)
    for deaths in range(WORKER_DEATHS + 1):
        engine.begin(1, pid=deaths + 1)
        engine.successor = deaths + 2
        clock[0] += CHECK_SECONDS
        state = reconciler.step()
        if deaths < WORKER_DEATHS:
            assert (state.phase, state.message) == ("starting", "version 1 is asked again: nobody answers")
            assert engine.calls == []
    assert state.message.startswith("version 1 cannot be served (1 attempt, trying again): nobody answers")
    assert list(engine.registered) == ([1] if seen else [])


def test_a_version_that_worked_goes_on_answering_where_there_is_no_other(
    engine: Engine, reconciler: Reconciler, store: DirectoryStore, clock: list[float]
) -> None:
    """Although a worker of it has answered wrongly now: it is asked again after a rest."""
    serve(engine, reconciler, store)
    engine.begin(1, pid=2)
    engine.says = 7
    clock[0] += CHECK_SECONDS
    state = reconciler.step()
    assert (state.phase, state.served) == ("failed", None)
    assert (engine.calls, engine.default) == ([], 1)
    engine.says = None
    clock[0] += FIRST_PAUSE_SECONDS
    assert (reconciler.step().served, engine.calls) == (1, [])


def test_many_workers_that_are_not_ready_yet_are_waited_for(
    engine: Engine, reconciler: Reconciler, store: DirectoryStore
) -> None:
    """One of uvicorn's loads a version while the other fifteen are there."""
    pointed(store, 1)
    engine.begin(1)
    workers = tuple(Worker(pid, False, False) for pid in range(1, 17))
    engine.registered[1] = replace(engine.registered[1], workers=workers)
    assert [reconciler.step().phase for _ in range(3)] == ["starting"] * 3


def test_an_engine_that_does_not_answer_in_time_is_late(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        serving = {"port": server.getsockname()[1], "response_timeout_seconds": 1}
        settings = Settings.model_validate({"data": tmp_path, "serving": serving})
        with closing(Probe(settings)) as probe:
            with pytest.raises(LateError, match=r"no answer from .* within 1 s"):
                probe.ask()
            with pytest.raises(LateError, match=r"no answer from .*/1.* within 1 s"):
                probe.classify(1, b"")


def test_that_nothing_is_learnt_is_not_put_into_a_slot(
    engine: Engine, reconciler: Reconciler, settings: Settings, store: DirectoryStore
) -> None:
    """Its workers could not load that, and would end at each request."""
    engine.begin(0)
    assert reconciler.step().served == 0
    pointed(store, 1)
    engine.begin(1)  # it was started again meanwhile
    engine.late = True
    assert "no answer in time" in reconciler.step().message
    assert Slot(workers_folder(settings), 1).served() == 1


def test_a_version_that_fails_gives_way_to_the_one_before(
    engine: Engine, reconciler: Reconciler, store: DirectoryStore, clock: list[float]
) -> None:
    """Its workers answer what they were asked: they are let go as those of any other version."""
    serve(engine, reconciler, store)
    pointed(store, 2)
    engine.begin(1, 2)
    engine.late = True
    reconciler.step()
    assert (engine.default, engine.calls) == (1, [])
    engine.late = False
    assert reconciler.step().phase == "draining"
    clock[0] += GRACE_SECONDS
    reconciler.step()
    assert (engine.default, list(engine.registered)) == (1, [1])


def test_a_version_that_answers_already_goes_on_where_the_wanted_one_fails(
    engine: Engine, reconciler: Reconciler, store: DirectoryStore
) -> None:
    """An engine that has started again lets the first registration answer: version 2 does, and was not looked at."""
    serve(engine, reconciler, store)
    engine.begin(2, pid=2)
    pointed(store, 3)  # of which nothing is there
    assert reconciler.step().phase == "failed"
    state = reconciler.step()
    assert (state.wanted, state.served, engine.default, engine.calls) == (3, 2, 2, [])


def test_what_took_over_from_a_version_that_was_not_looked_at_gives_way_to_that(
    engine: Engine,
    reconciler: Reconciler,
    settings: Settings,
    store: DirectoryStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    serve(engine, reconciler, store)
    engine.begin(2, pid=2)  # by an engine that has started again
    slot = Slot(workers_folder(settings), 2)

    def take_over(*_: object) -> str:
        slot.point_to("lucir-3")
        return "done"

    monkeypatch.setattr(exchange.Exchange, "step", take_over)
    published(store, tmp_path, 3)
    pointed(store, 3)
    assert "version 2 answers in its place" in reconciler.step().message
    assert slot.served() == 2  # and not version 1, which was the last one to be confirmed


def test_a_version_that_fails_before_anybody_asks_it_goes_at_once(
    engine: Engine, reconciler: Reconciler, store: DirectoryStore
) -> None:
    serve(engine, reconciler, store)
    pointed(store, 2)
    engine.begin(2, 1)
    engine.says = 7
    reconciler.step()
    assert (engine.default, list(engine.registered)) == (1, [1])


@pytest.fixture
def slot(engine: Engine, reconciler: Reconciler, settings: Settings, store: DirectoryStore) -> Slot:
    """In which version 2 took over from version 1, and fails: the double answers with the registration's number."""
    serve(engine, reconciler, store)
    pointed(store, 2)
    slot = Slot(workers_folder(settings), 1)
    slot.point_to("lucir-2")
    return slot


def test_a_version_that_took_over_and_fails_is_taken_out_of_its_slot(
    engine: Engine, reconciler: Reconciler, slot: Slot
) -> None:
    assert "version 1 answers in its place" in reconciler.step().message
    assert (slot.served(), list(engine.registered)) == (1, [1])


def test_a_slot_that_cannot_be_put_back_is_looked_at_again(
    reconciler: Reconciler, settings: Settings, slot: Slot, clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    """The disk is full, say: here something is in the place of the new link."""
    blocked = workers_folder(settings) / "slot-1.new"
    blocked.mkdir()
    assert "version 1 answers in its place" in reconciler.step().message
    assert "version 2 cannot be taken back yet: " in caplog.text
    assert slot.served() == 2
    blocked.rmdir()
    clock[0] += FIRST_PAUSE_SECONDS
    reconciler.step()
    assert slot.served() == 1


def broken(engine: Engine, settings: Settings) -> None:
    engine.begin(1, problem="it lacks memory")


def another_answers(engine: Engine, settings: Settings) -> None:
    engine.begin(1)
    engine.says = 7


def no_canary(engine: Engine, settings: Settings) -> None:
    engine.begin(1)
    (settings.models_folder / "lucir-1").mkdir()
    (settings.models_folder / "lucir-1" / "canary.json").write_text("nothing", encoding="utf-8")


@pytest.mark.parametrize(
    ("state", "reason"),
    [(broken, "it lacks memory"), (another_answers, "version 7 answers in its place"), (no_canary, "canary.json")],
)
def test_the_only_version_is_taken_away_where_it_does_not_work(
    engine: Engine,
    reconciler: Reconciler,
    settings: Settings,
    store: DirectoryStore,
    state: Callable[[Engine, Settings], None],
    reason: str,
) -> None:
    pointed(store, 1)
    state(engine, settings)
    assert reason in reconciler.step().message
    assert engine.registered == {}


def test_workers_that_are_never_ready(
    engine: Engine, reconciler: Reconciler, store: DirectoryStore, clock: list[float]
) -> None:
    pointed(store, 1)
    engine.begin(1, ready=False)
    assert reconciler.step().phase == "starting"
    clock[0] += 61
    assert "not ready within 60 s" in reconciler.step().message


def test_workers_that_never_load(
    engine: Engine,
    reconciler: Reconciler,
    settings: Settings,
    store: DirectoryStore,
    clock: list[float],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(exchange, "WAIT_SECONDS", 0.01)
    published(store, tmp_path, 2)
    pointed(store, 2)
    engine.begin(1)
    with socket.socket(socket.AF_UNIX) as worker:  # which hears and says nothing
        worker.bind(str(socket_of(workers_folder(settings), 1)))
        worker.listen()
        assert reconciler.step().phase == "starting"
        clock[0] += 61
        assert "not ready within 60 s" in reconciler.step().message


def test_workers_of_its_own_begin_with_the_version_itself(
    engine: Engine, reconciler: Reconciler, settings: Settings, store: DirectoryStore, tmp_path: Path
) -> None:
    """Whatever the slot of an earlier registration of that number was moved to; nobody listens in this worker."""
    published(store, tmp_path, 2)
    pointed(store, 2)
    engine.begin(1)
    slot = Slot(workers_folder(settings), 2)
    slot.point_to("lucir-1")
    reconciler.step()
    assert slot.served() == 2
    assert engine.calls == ["register lucir-2", "scale 2 1"]


@pytest.mark.parametrize("ready", [True, False])
def test_a_number_that_is_taken_by_workers_that_cannot_be_asked(
    engine: Engine,
    reconciler: Reconciler,
    settings: Settings,
    store: DirectoryStore,
    clock: list[float],
    tmp_path: Path,
    ready: bool,
) -> None:
    """While they are ready they answer, for a minute; else they are let go."""
    published(store, tmp_path, 2)
    pointed(store, 2)
    engine.begin(2, ready=ready)
    Slot(workers_folder(settings), 2).point_to("lucir-1")
    reconciler.step()
    assert engine.calls == ([] if ready else ["unregister 2", "register lucir-2", "scale 2 1"])
    clock[0] += 61
    if ready:
        assert "some of its workers do not answer" in reconciler.step().message


def test_another_wish_forgets_what_failed(engine: Engine, reconciler: Reconciler, store: DirectoryStore) -> None:
    pointed(store, 1)
    engine.begin(0, 1)
    engine.says = 7
    assert reconciler.step().phase == "failed"
    engine.says = None
    engine.begin(0, 1)
    assert reconciler.step().phase == "failed"  # it rests
    pointed(store, 2)
    reconciler.step()
    pointed(store, 1)
    assert reconciler.step().served == 1


@pytest.mark.parametrize("told", [True, False])
def test_a_version_is_served_when_a_disk_that_was_full_for_long_has_room(
    engine: Engine,
    reconciler: Reconciler,
    store: DirectoryStore,
    clock: list[float],
    monkeypatch: pytest.MonkeyPatch,
    told: bool,
) -> None:
    """However often it was tried. ``told``: by the mirror, else by whatever else needs room."""
    serve(engine, reconciler, store)

    def fails(*_: object, **__: object) -> None:
        full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if told:
            raise explain(full, "mirror version 2") from full
        raise full

    pointed(store, 2)
    with monkeypatch.context() as patched:
        patched.setattr(reconcile, "mirror", fails)
        patched.setattr(VersionStore, "manifest", lambda _, number: make_manifest(number))
        for attempt in range(1, 2 * MOST_ATTEMPTS):
            state = reconciler.step()
            assert state.phase == "failed"
            assert f"({attempt} attempt" in state.message
            assert "No space left on device" in state.message
            assert engine.default == 1
            clock[0] += RARE_SECONDS
    engine.begin(1, 2)
    assert reconciler.step().served == 2


def test_an_engine_that_was_away_is_asked_again(engine: Engine, reconciler: Reconciler, store: DirectoryStore) -> None:
    """Its workers may have got the process ids of those before."""
    pointed(store, 1)
    engine.begin(1)
    reconciler.step()
    pointed(store, 2)  # something to be looked at
    engine.down = True
    assert reconciler.step().phase == "unreachable"
    pointed(store, 1)
    engine.down = False
    engine.asked.clear()
    assert reconciler.step().served == 1
    assert engine.asked == [1, None]
