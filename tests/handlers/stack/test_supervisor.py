"""The supervisor with real child processes: small HTTP servers whose behaviour a file controls."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from handlers.stack.errors import StackError
from handlers.stack.health import SidecarProbe
from handlers.stack.ports import free_ports
from handlers.stack.supervision.service_logs import LogSink
from handlers.stack.supervision.supervised import Service
from handlers.stack.supervision.supervisor import Supervisor
from tests.support.waiting import PATIENCE, wait_for

# Answers /healthz and /readyz; while the file named by the second argument exists, what that names hangs for long.
SERVER = """
import http.server, os, pathlib, sys, time
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        hang = pathlib.Path(sys.argv[2])
        if hang.exists() and hang.read_text() in self.path: time.sleep(60)
        self.send_response(200); self.end_headers(); self.wfile.write(str(os.getpid()).encode())
    def log_message(self, *a): print("asked", flush=True)
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


@pytest.fixture
def sink(tmp_path: Path) -> Iterator[LogSink]:
    sink = LogSink(tmp_path / "logs", None)
    yield sink
    sink.close()


def server(
    name: str, hang_file: Path, *, hang_seconds: float = 60.0, probe_timeout: float = 10.0
) -> tuple[Service, str]:
    port = free_ports(1)[0]
    probe = SidecarProbe(f"http://127.0.0.1:{port}", timeout=probe_timeout)
    service = Service(
        name,
        (sys.executable, "-c", SERVER, str(port), str(hang_file)),
        probe,
        hang_seconds=hang_seconds,
        grace_seconds=1.0,
        probe_seconds=0.1,
        first_pause=0.05,
    )
    return service, f"http://127.0.0.1:{port}/healthz"


@contextmanager
def supervised(supervisor: Supervisor) -> Iterator[threading.Event]:
    stop, ready = threading.Event(), threading.Event()
    thread = threading.Thread(target=supervisor.run, args=(stop, ready.set))
    thread.start()
    try:
        yield ready
    finally:
        stop.set()
        thread.join(PATIENCE)
    assert not thread.is_alive()


def ask_pid(url: str) -> int:
    return int(httpx.get(url, timeout=60, trust_env=False).text)


def answering(url: str) -> int | None:
    """The same, or nothing while it is being started: a busy machine may make it hang once more."""
    with suppress(httpx.TransportError):
        return ask_pid(url)
    return None


def test_ready_then_a_crash_is_healed_then_all_is_gone(tmp_path: Path, sink: LogSink) -> None:
    (first, url), (second, other_url) = server("one", tmp_path / "hang"), server("two", tmp_path / "never")
    supervisor = Supervisor([first, second], sink)
    with supervised(supervisor) as ready:
        assert ready.wait(PATIENCE)
        crashed, untouched = ask_pid(url), ask_pid(other_url)
        os.kill(crashed, signal.SIGKILL)
        wait_for(lambda: supervisor.running("one").restarts == 1)
        wait_for(lambda: supervisor.ready)
        assert ask_pid(url) != crashed
        assert ask_pid(other_url) == untouched
    with pytest.raises(httpx.ConnectError):
        ask_pid(url)
    assert "asked" in (tmp_path / "logs" / "one.log").read_text()


@pytest.mark.slow
def test_a_hanging_service_is_restarted(tmp_path: Path, sink: LogSink) -> None:
    hang = tmp_path / "hang"
    service, url = server("one", hang, hang_seconds=3.0, probe_timeout=1.0)
    supervisor = Supervisor([service], sink)
    with supervised(supervisor) as ready:
        assert ready.wait(PATIENCE)
        before = ask_pid(url)
        hang.touch()
        wait_for(lambda: supervisor.running("one").restarts)
        hang.unlink()
        wait_for(lambda: answering(url) not in (None, before))


def test_a_service_whose_store_hangs_is_not_ready_and_goes_on_with_its_work(tmp_path: Path, sink: LogSink) -> None:
    """``/readyz`` waits for the store; only ``/healthz`` says whether a restart would help."""
    hang = tmp_path / "hang"
    service, url = server("one", hang, probe_timeout=0.5)
    supervisor = Supervisor([service], sink)
    with supervised(supervisor) as ready:
        assert ready.wait(PATIENCE)
        before = ask_pid(url)
        hang.write_text("/readyz")
        wait_for(lambda: "cannot say" in supervisor.running("one").health.reason)
        assert supervisor.running("one").health.alive
        hang.unlink()
        wait_for(lambda: supervisor.ready)
        assert ask_pid(url) == before


def test_pauses_grow_and_a_service_that_never_answers_is_given_up(sink: LogSink) -> None:
    code = "print('the reason', flush=True); raise SystemExit(7)"
    probe = SidecarProbe("http://127.0.0.1:9")
    service = Service("broken", (sys.executable, "-c", code), probe, first_pause=0.01)
    supervisor = Supervisor([service], sink)
    with pytest.raises(StackError, match=r"(?s)broken ended 5 times .* the reason"):
        supervisor.run(threading.Event(), lambda: None)


def test_a_full_disk_for_logs_or_a_closed_terminal_stops_nobody(tmp_path: Path) -> None:
    with (tmp_path / "terminal").open("w") as terminal:
        sink = LogSink(tmp_path / "logs", terminal)
        sink.write("one", "a line")
    sink.write("one", "after the terminal was closed")
    assert sink.last_lines("one") == ["a line", "after the terminal was closed"]
    assert (tmp_path / "terminal").read_text() == "one        | a line\n"
    sink.close()
