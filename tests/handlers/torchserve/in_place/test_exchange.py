"""A version that takes over in a worker that answers: the worker's part in this process, without TorchServe."""

import base64
import gc
import io
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from handlers.classifier import Classifier
from handlers.inference.replies import RawRequest
from handlers.inference.version_model import VersionModel
from handlers.inference.workers.held_versions import Calls, HeldVersions
from handlers.inference.workers.slot import MODELS_VARIABLE, WORKERS_VARIABLE, Slot, socket_of
from handlers.inference.workers.worker import WorkerOptions
from handlers.inference.workers.worker_calls import LENGTH, Again, Classify, Forget, Load, Result, pack, read_message
from handlers.settings import Settings
from handlers.sockets import workers_folder
from handlers.torchserve.canary import Canary, CanaryImage
from handlers.torchserve.in_place.exchange import CannotLoadError, Exchange
from handlers.torchserve.in_place.worker_line import WorkerLine
from handlers.torchserve.inference_port import ProbeError
from handlers.torchserve.management import RegisteredVersion, Worker
from tests.handlers.torchserve.conftest import MakeImage, MakeVersion
from tests.support.servers.asked_classifier import ask, started
from tests.support.waiting import PATIENCE, wait_for

SLOT = RegisteredVersion(1, True, 1, (Worker(os.getpid(), True, False),), 0)
OTHER_CLASSES = ["a", "b"]


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Of a data folder with mirrored versions; a worker of this process knows its folders."""
    settings = Settings(data=tmp_path)
    workers_folder(settings).mkdir(parents=True)
    monkeypatch.setenv(WORKERS_VARIABLE, str(workers_folder(settings)))
    monkeypatch.setenv(MODELS_VARIABLE, str(settings.models_folder))
    return settings


@pytest.fixture
def mirrored(settings: Settings, make_version: MakeVersion) -> Callable[..., Path]:
    def make(number: int, inside: int | None = None, **changes: Any) -> Path:
        return make_version(settings.models_folder / f"lucir-{number}", inside or number, **changes)

    return make


@pytest.fixture
def worker(mirrored: Callable[..., Path]) -> Classifier:
    """Of the slot that began with version 1."""
    return started(mirrored(1), slot=1)


@pytest.fixture
def exchange(settings: Settings) -> Iterator[Exchange]:
    exchange = Exchange(settings)
    yield exchange
    exchange.close()


def finish(exchange: Exchange, target: int) -> None:
    wait_for(lambda: exchange.step(SLOT, target) == "done")


def version_of(worker: Classifier, image: bytes) -> int:
    ((status, document),) = ask(worker, {"body": image})
    assert status == 200, document
    return int(document["model_version"])


def test_forth_and_back_and_for_a_worker_that_starts_later(
    worker: Classifier, exchange: Exchange, mirrored: Callable[..., Path], make_image: MakeImage
) -> None:
    mirrored(2)
    assert (exchange.served(1), version_of(worker, make_image())) == (1, 1)
    for target in (2, 1, 2):
        finish(exchange, target)
        assert (exchange.served(1), version_of(worker, make_image())) == (target, target)
    assert version_of(started(mirrored(1), slot=1), make_image()) == 2
    exchange.forget(1)
    assert version_of(started(mirrored(1), slot=1), make_image()) == 1


def test_a_worker_that_does_not_hold_what_its_slot_names_loads_it_and_never_answers_with_less(
    worker: Classifier, settings: Settings, mirrored: Callable[..., Path], make_image: MakeImage
) -> None:
    """It started between the load and the exchange, for which no other worker waited."""
    mirrored(2)
    Slot(workers_folder(settings), 1).point_to("lucir-2")
    assert version_of(worker, make_image()) == 2
    (mirrored(3) / "model.onnx").unlink()
    Slot(workers_folder(settings), 1).point_to("lucir-3")
    with pytest.raises(SystemExit):
        version_of(worker, make_image())


class Meanwhile(dict[str, Any]):
    """The fields of a request; something happens while they are read."""

    def __init__(self, body: bytes, what: Callable[[], None]) -> None:
        super().__init__(body=body)
        self._what = what

    def items(self) -> Any:
        self._what()
        return super().items()


def test_a_batch_that_ran_while_another_version_took_over_runs_again(
    worker: Classifier, settings: Settings, mirrored: Callable[..., Path], make_image: MakeImage
) -> None:
    mirrored(2)
    fields = Meanwhile(make_image(), lambda: Slot(workers_folder(settings), 1).point_to("lucir-2"))
    ((status, document),) = ask(worker, fields)
    assert (status, document["model_version"]) == (200, 2)


@pytest.mark.parametrize("case", ["other classes", "another number", "no file", "wrong answers"])
def test_what_fails_its_checks_leaves_the_old_version_answering(
    case: str, worker: Classifier, exchange: Exchange, mirrored: Callable[..., Path], make_image: MakeImage
) -> None:
    changes: dict[str, dict[str, Any]] = {
        "other classes": {"classes": OTHER_CLASSES},
        "another number": {"inside": 3},
    }
    folder = mirrored(2, **changes.get(case, {}))
    if case == "no file":
        (folder / "model.onnx").unlink()
    png = base64.b64encode(make_image("rot", "PNG")).decode()
    image = CanaryImage(png=png, answer="rot", probability=0.0)
    (folder / "canary.json").write_text(Canary(side=40, pictures=(image,)).model_dump_json())
    with pytest.raises(ProbeError if case == "wrong answers" else CannotLoadError):
        finish(exchange, 2)
    assert (exchange.served(1), version_of(worker, make_image())) == (1, 1)
    mirrored(4)
    finish(exchange, 4)
    assert version_of(worker, make_image()) == 4


def test_what_nobody_is_answered_with_is_dropped(
    worker: Classifier, settings: Settings, exchange: Exchange, mirrored: Callable[..., Path]
) -> None:
    """Also a version that was loaded and never took over, because whoever asked for it is gone."""
    held = worker.held
    for number in (2, 3):
        mirrored(number)
    finish(exchange, 2)
    wait_for(lambda: (held.get(1), held.get(2) is None) == (None, False))
    line = WorkerLine(socket_of(workers_folder(settings), os.getpid()))
    line.begin(3, "lucir-3")
    wait_for(lambda: not line.wait(1) and line.loaded)
    assert held.get(3) is not None
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.connect(str(socket_of(workers_folder(settings), os.getpid())))
        stranger.sendall(LENGTH.pack(3) + b"...")
    finish(exchange, 1)
    wait_for(lambda: held.get(2) is None)
    assert held.get(3) is not None  # its caller is there still
    line.close()
    wait_for(lambda: held.get(3) is None)


def test_only_workers_that_are_all_there_are_asked(exchange: Exchange, settings: Settings) -> None:
    ready, starting = Worker(1, True, False), Worker(None, False, False)
    table = [
        ((ready,), 1, 2, 1, True),
        ((ready, ready), 2, 2, 2, True),
        ((ready, starting), 2, 2, 2, False),
        ((ready,), 1, 2, 2, False),  # another number of workers is wanted
        ((ready,), 1, 0, 1, False),  # "nothing learnt yet" is not a version to exchange
    ]
    for workers, count, target, wanted, possible in table:
        slot = RegisteredVersion(1, True, count, workers, 0)
        assert exchange.possible(slot, target, wanted) is possible
    nothing = RegisteredVersion(0, True, 1, (ready,), 0)
    assert not exchange.possible(nothing, 1, 1)
    uvicorn = settings.model_copy(update={"serving": settings.serving.model_copy(update={"engine": "uvicorn"})})
    assert not Exchange(uvicorn).possible(RegisteredVersion(1, True, 1, (ready,), 0), 2, 1)


STRANGE = {
    "foreign": LENGTH.pack(3) + b"...",
    "ended": b"",
    "no result": pack(Forget(2)),
    "of another call": pack(Result(7, "loaded")),
}
"""What a worker sends back."""


@pytest.mark.parametrize("left", ["nothing", "dead", *STRANGE])
def test_a_worker_that_cannot_be_asked_is_lost(
    left: str, settings: Settings, exchange: Exchange, mirrored: Callable[..., Path]
) -> None:
    """It has ended, or is of another release; the version comes by a registration then."""
    mirrored(2)
    path = socket_of(workers_folder(settings), os.getpid())
    with socket.socket(socket.AF_UNIX) as listener:
        if left != "nothing":
            listener.bind(str(path))
        if left in STRANGE:
            listener.listen()
            threading.Thread(target=_answer, args=(listener, STRANGE[left]), daemon=True).start()
        states = [exchange.step(SLOT, 2)]
        while states[-1] == "loading":
            states.append(exchange.step(SLOT, 2))
    assert states[-1] == "lost"
    assert exchange.served(1) == 1
    # It may have been the version that ended the worker: that one is not tried again in those that answer.
    assert [exchange.possible(SLOT, target, 1) for target in (2, 3)] == [False, True]


def _answer(listener: socket.socket, answer: bytes) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.recv(1024)
        connection.sendall(answer)


def test_a_worker_that_starts_removes_the_sockets_of_dead_ones(
    settings: Settings, mirrored: Callable[..., Path]
) -> None:
    folder = workers_folder(settings)
    dead, living = folder / "1", folder / "2"
    with socket.socket(socket.AF_UNIX) as ended:
        ended.bind(str(dead))
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(living))
        other.listen()
        started(mirrored(1), slot=1)
        assert {path.name for path in folder.iterdir()} == {"2", str(os.getpid())}


def test_two_workers_that_start_together_may_meet_the_same_dead_socket(
    settings: Settings, mirrored: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = workers_folder(settings)
    with socket.socket(socket.AF_UNIX) as ended:
        ended.bind(str(folder / "1"))

    def removed_by_the_other(path: Path) -> bool:
        path.unlink()
        return True

    monkeypatch.setattr(Path, "is_socket", removed_by_the_other)
    started(mirrored(1), slot=1)
    assert {path.name for path in folder.iterdir()} == {str(os.getpid())}


def test_a_socket_is_found_only_when_somebody_listens(
    settings: Settings, mirrored: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another worker that starts just then would take it for a dead one's, and remove it."""
    path, found = socket_of(workers_folder(settings), os.getpid()), []
    listen = socket.socket.listen

    def listens(one: socket.socket, *words: int) -> None:
        found.append(path.exists())
        listen(one, *words)

    monkeypatch.setattr(socket.socket, "listen", listens)
    started(mirrored(1), slot=1)
    assert (found, path.is_socket()) == ([False], True)


def test_a_version_that_is_to_be_forgotten_is_let_go(mirrored: Callable[..., Path]) -> None:
    held = HeldVersions(WorkerOptions(), None)
    for number in (1, 2):
        held.load(mirrored(number))
    ours, theirs = socket.socketpair()
    with theirs:
        ours.sendall(pack(Forget(1)))
        ours.close()
        Calls(theirs, held).run()
    assert (held.get(1), held.get(2) is not None) == (None, True)


class Slow(HeldVersions):
    """Loads when it is told to."""

    def __init__(self) -> None:
        super().__init__(WorkerOptions(), None)
        self.go = threading.Event()

    def load(self, folder: Path, number: int | None = None) -> VersionModel:
        self.go.wait(PATIENCE)
        return super().load(folder, number)


@pytest.mark.parametrize(("calls", "stays"), [("load forget", False), ("load forget load", True), ("load", True)])
def test_a_version_that_is_let_go_while_it_is_loaded_does_not_stay(
    mirrored: Callable[..., Path], calls: str, stays: bool
) -> None:
    """Nobody would let it go any more."""
    held, folder = Slow(), str(mirrored(2))
    messages = [Load(number, 2, folder) if call == "load" else Forget(2) for number, call in enumerate(calls.split())]
    ours, theirs = socket.socketpair()
    with theirs, ours, io.BufferedReader(ours.makefile("rb", 0)) as answers:
        served = Calls(theirs, held)
        running = threading.Thread(target=served.run, daemon=True)
        running.start()
        ours.sendall(b"".join(pack(message) for message in messages))
        ours.shutdown(socket.SHUT_WR)
        running.join()  # it has read all of them
        held.go.set()
        for thread in served.loading:
            thread.join()
        assert {read_message(answers).value.version for _ in served.loading} == {2}
    assert (held.get(2) is not None) == stays


def test_requests_are_kept_only_while_another_version_may_be_asked_for_them(
    mirrored: Callable[..., Path], make_image: MakeImage
) -> None:
    """The images of a batch may be many megabytes, and the next one may come tomorrow."""

    def kept() -> int:
        return sum(type(each) is RawRequest and "mark" in each.headers for each in gc.get_objects())

    held, message = HeldVersions(WorkerOptions(), None), RawRequest({"body": make_image()}, {"mark": "1"})
    held.load(mirrored(1))
    ours, theirs = socket.socketpair()
    with theirs, ours, io.BufferedReader(ours.makefile("rb", 0)) as answers:
        running = threading.Thread(target=Calls(theirs, held).run, daemon=True)
        running.start()
        ours.sendall(pack(Classify(1, 1, [message])))
        assert read_message(answers).value[0].status == 200
        wait_for(lambda: kept() == 1)  # ours
        ours.sendall(pack(Load(2, 2, str(mirrored(2)))) + pack(Again(3, 1, 1)))
        found = {result.call: result.value for result in (read_message(answers), read_message(answers))}
        assert found.keys() == {2, 3}
        assert [reply.status for reply in found[3]] == [500], (
            "nobody asks for it again, but nobody waits in vain either"
        )
        ours.sendall(pack(Classify(4, 1, [message])))
        assert read_message(answers).value[0].status == 200
        assert kept() == 2
        ours.sendall(pack(Again(5, 2, 1)))
        assert b'"model_version": 2' in read_message(answers).value[0].body
        ours.shutdown(socket.SHUT_WR)
        running.join()
