"""The health check of a container, against servers that answer as TorchServe and the updater do."""

import json
import socketserver
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from handlers.stack import probe
from handlers.stack.probe import main

Answer = tuple[int, object]


def handler(answers: dict[str, Answer]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, document = answers.get(self.path, (404, {"code": 404}))
            body = document if isinstance(document, bytes) else json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def address_string(self) -> str:  # a unix socket's client has no address
            return "client"

        def log_message(self, *_: object) -> None:
            pass

    return Handler


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The answers are judged here, not how quickly a busy machine gives them."""
    monkeypatch.setattr(probe, "TIMEOUT_SECONDS", 60.0)


@pytest.fixture
def serve() -> Iterator[Callable[[socketserver.BaseServer], None]]:
    servers: list[socketserver.BaseServer] = []

    def start(server: socketserver.BaseServer) -> None:
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("answer", "status", "reason"),
    [
        ((200, [{"workers": [{"status": "LOADING"}, {"status": "READY"}]}]), 0, ""),
        ((200, [{"workers": [{"status": "UNLOADING"}]}]), 1, "no worker is ready (UNLOADING)"),
        ((200, [{"workers": []}]), 1, "no worker is ready (none)"),
        ((404, {"code": 404}), 1, "no version is registered yet (status 404)"),
        ((200, b"no JSON"), 1, "does not answer: Expecting value"),
        ((200, [{"models": []}]), 1, "TorchServe described its model as [{'models': []}]"),
    ],
)
def test_a_worker_is_judged_by_its_status(
    serve: Callable[[socketserver.BaseServer], None],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    answer: Answer,
    status: int,
    reason: str,
) -> None:
    path = str(tmp_path / "management.sock")
    serve(socketserver.ThreadingUnixStreamServer(path, handler({"/models/lucir": answer})))
    assert main(["worker", path]) == status
    assert reason in capsys.readouterr().err


def test_a_server_that_is_about_to_stop_is_not_ready(
    serve: Callable[[socketserver.BaseServer], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "management.sock"
    ready = (200, [{"workers": [{"status": "READY"}]}])
    serve(socketserver.ThreadingUnixStreamServer(str(path), handler({"/models/lucir": ready})))
    assert main(["worker", str(path)]) == 0
    (tmp_path / "draining").touch()
    assert main(["worker", str(path)]) == 1
    assert "is draining" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("answer", "status", "reason"),
    [((200, {}), 0, ""), ((503, b"the store does not answer"), 1, "status 503: the store does not answer")],
)
def test_a_page_is_judged_by_its_status(
    serve: Callable[[socketserver.BaseServer], None],
    capsys: pytest.CaptureFixture[str],
    answer: Answer,
    status: int,
    reason: str,
) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler({"/readyz": answer}))
    serve(server)
    assert main(["page", f"http://127.0.0.1:{server.server_port}/readyz"]) == status
    assert reason in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["worker", "/nowhere.sock"], ["page", "http://127.0.0.1:1/"]])
def test_nobody_there_is_a_failure_with_a_reason(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 1
    assert "does not answer" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["worker"], ["other", "x"], ["page", "file:///etc/passwd"]])
def test_a_wrong_command_line_fails(arguments: list[str]) -> None:
    assert main(arguments) != 0
