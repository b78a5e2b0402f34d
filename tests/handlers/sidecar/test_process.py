"""A sidecar one of whose threads dies ends, with a status that says so, and its supervisor starts it again."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from starlette.applications import Starlette

from handlers.sidecar.process import EXIT_CONFIG, EXIT_DEAD_THREAD, serve
from handlers.stack.ports import free_ports
from tests.support.waiting import PATIENCE

# A fault that no input is known to provoke, in the thread that each module has.
BROKEN = """
import sys
from importlib import import_module
def broken(*_, **__): raise RuntimeError("nobody expected this")
where, name = sys.argv[1].rsplit(":", 1)
setattr(import_module(where), name, broken)
sys.exit(import_module(sys.argv[2]).main([]))
"""


class Working:
    """Works until it is stopped, with a thread beside it that does ``beside``."""

    def __init__(self, beside: Callable[["Working"], None]) -> None:
        self.stopping = threading.Event()
        self._thread = threading.Thread(target=beside, args=(self,), name="beside")

    def run(self) -> None:
        """Until ``stopping``."""
        self._thread.start()
        assert self.stopping.wait(PATIENCE)
        self._thread.join()


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def status_of(beside: Callable[[Working], None]) -> int:
    return serve(Working(beside), Starlette(), "127.0.0.1", 0, variable="X", news="it works")


def test_a_thread_that_dies_ends_the_process_with_a_status_of_its_own(caplog: pytest.LogCaptureFixture) -> None:
    def dies(_: Working) -> None:
        raise RuntimeError("nobody expected this")

    before = threading.excepthook
    assert status_of(dies) == EXIT_DEAD_THREAD == os.EX_SOFTWARE
    assert "the thread beside died: nobody expected this" in caplog.text
    assert threading.excepthook is before


def test_a_thread_that_ends_or_dies_in_an_orderly_end_changes_nothing() -> None:
    def told(working: Working) -> None:
        working.stopping.set()
        raise RuntimeError("too late to matter")

    assert status_of(told) == 0
    assert status_of(lambda working: working.stopping.set()) == 0


def test_a_process_that_cannot_end_any_more_ends_all_the_same() -> None:
    """Its main thread waits for what the dead one would have done."""
    program = """
import threading
import handlers.sidecar.process as sidecar
from starlette.applications import Starlette
from tests.handlers.sidecar.test_process import Working
sidecar.END_SECONDS = 0.1
def dies(_): raise RuntimeError("x")
working = Working(dies)
working.run = lambda: (working._thread.start(), threading.Event().wait())
sidecar.serve(working, Starlette(), "127.0.0.1", 0, variable="X", news="it works")
"""
    done = subprocess.run([sys.executable, "-c", program], timeout=PATIENCE, check=False, capture_output=True)
    assert done.returncode == EXIT_DEAD_THREAD, done.stderr


@pytest.mark.parametrize("main", ["handlers.server", "handlers.torchserve", "handlers.follower", "handlers.updater"])
def test_a_data_folder_that_cannot_be_one_is_a_sentence(tmp_path: Path, main: str) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "data").write_text("a file")
    done = _started(["-m", main], tmp_path, LUCIR_DATA=str(tmp_path / "data"))
    assert done.returncode
    assert f"{tmp_path}/data" in done.stderr.splitlines()[-1]
    assert "cannot be written" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("main", "name"),
    [
        ("handlers.server", "LUCIR_SERVING__PORT"),
        ("handlers.server", "LUCIR_SERVING__METRICS_PORT"),
        ("handlers.torchserve", "LUCIR_SERVING__PORT"),
        ("handlers.torchserve", "LUCIR_SERVING__METRICS_PORT"),
        ("handlers.follower", "LUCIR_FOLLOWER__PORT"),
    ],
)
def test_a_port_in_use_is_a_sentence(tmp_path: Path, main: str, name: str) -> None:
    (tmp_path / "store").mkdir()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = _started(["-m", main], tmp_path, **{name: port})
    assert done.returncode
    assert f"cannot listen on http://127.0.0.1:{port} " in done.stderr.splitlines()[-1]
    assert f"or set {name}" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("main", "name"),
    [
        ("handlers.follower", "LUCIR_SERVING__API_KEY_FILE"),
        ("handlers.updater", "LUCIR_SERVING__API_KEY_FILE"),
        ("handlers.updater", "LUCIR_UPDATER__TOKEN_FILE"),
    ],
)
def test_a_file_of_secrets_that_is_not_there_is_said_at_the_start(tmp_path: Path, main: str, name: str) -> None:
    (tmp_path / "store").mkdir()
    done = _started(["-m", main], tmp_path, **{name: "/nothere"})
    assert done.returncode == EXIT_CONFIG
    assert "/nothere cannot be read" in done.stderr
    assert "Traceback" not in done.stderr


def _started(arguments: list[str], folder: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    """A process of ours in this folder, on ports of its own, when it has ended."""
    ports = dict(zip(("SERVING", "UPDATER", "FOLLOWER"), free_ports(3), strict=True))
    return subprocess.run(
        [sys.executable, *arguments],
        env={
            **os.environ,
            "LUCIR_DATA": str(folder),
            "LUCIR_STORE": (folder / "store").as_uri(),
            **{f"LUCIR_{name}__PORT": str(port) for name, port in ports.items()},
            **environment,
        },
        timeout=PATIENCE,
        check=False,
        capture_output=True,
        text=True,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "main"),
    [
        ("handlers.updater.intake.watch:scan", "handlers.updater.__main__"),
        ("handlers.updater.leader.leadership:last_epoch", "handlers.updater.__main__"),
        ("handlers.torchserve.loop:give_way", "handlers.updater.__main__"),
        ("handlers.torchserve.loop:give_way", "handlers.follower.__main__"),
    ],
)
def test_no_thread_of_a_sidecar_dies_alone(tmp_path: Path, fault: str, main: str) -> None:
    (tmp_path / "store").mkdir()
    done = _started(["-c", BROKEN, fault, main], tmp_path)
    assert done.returncode == EXIT_DEAD_THREAD, done.stderr
    assert "died: nobody expected this" in done.stderr
