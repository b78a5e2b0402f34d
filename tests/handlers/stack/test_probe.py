"""The health check of a container, against servers that answer as TorchServe and the updater do."""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from handlers.stack import page_probe, probe
from handlers.stack.probe import main
from tests.support.servers.small_server import UnixServer, handler_of, running

Answer = tuple[int, object]


def handler(path: str, answer: Answer) -> type[BaseHTTPRequestHandler]:
    """Knows this path alone."""
    status, document = answer
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return handler_of(lambda asked: (status, body) if asked.path == path else (404, b'{"code": 404}'))


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The answers are judged here, not how quickly a busy machine gives them."""
    monkeypatch.setattr(probe, "TIMEOUT_SECONDS", 60.0)


@pytest.mark.parametrize(
    ("answer", "status", "reason"),
    [
        ((200, [{"workers": [{"status": "LOADING"}, {"status": "READY"}]}]), 0, ""),
        ((200, [{"workers": [{"status": "UNLOADING"}]}]), 1, "no worker is ready (UNLOADING)"),
        ((200, [{"workers": []}]), 1, "no worker is ready (none)"),
        ((404, {"code": 404}), 1, "no version is registered yet (status 404)"),
        ((200, b"no JSON"), 1, "does not answer: Expecting value"),
        ((200, [{"models": []}]), 1, "the serving engine described its model as [{'models': []}]"),
    ],
)
def test_a_worker_is_judged_by_its_status(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], answer: Answer, status: int, reason: str
) -> None:
    path = str(tmp_path / "management.sock")
    with running(UnixServer(path, handler("/models/lucir", answer))):
        assert main(["worker", path]) == status
    assert reason in capsys.readouterr().err


def test_a_server_that_is_about_to_stop_is_not_ready(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(tmp_path / "management.sock")
    with running(UnixServer(path, handler("/models/lucir", (200, [{"workers": [{"status": "READY"}]}])))):
        assert main(["worker", path]) == 0
        (tmp_path / "draining").touch()
        assert main(["worker", path]) == 1
    assert "is draining" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("answer", "status", "reason"),
    [((200, {}), 0, ""), ((503, b"the store does not answer"), 1, "status 503: the store does not answer")],
)
def test_a_page_is_judged_by_its_status(
    capsys: pytest.CaptureFixture[str], answer: Answer, status: int, reason: str
) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler("/readyz", answer))
    with running(server):
        assert main(["page", f"http://127.0.0.1:{server.server_port}/readyz"]) == status
    assert reason in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["worker", "/nowhere.sock"], ["page", "http://127.0.0.1:1/"]])
def test_nobody_there_is_a_failure_with_a_reason(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 1
    assert "does not answer" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["worker"], ["other", "x"], ["page", "file:///etc/passwd"]])
def test_a_wrong_command_line_fails(arguments: list[str]) -> None:
    assert main(arguments) != 0


@pytest.mark.parametrize(
    ("answer", "status", "reason"),
    [((200, {}), 0, ""), ((503, b"the store does not answer"), 1, "status 503: the store does not answer")],
)
@pytest.mark.parametrize("place", ["environment", "file"])
def test_the_page_is_asked_where_the_settings_put_it(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    place: str,
    answer: Answer,
    status: int,
    reason: str,
) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler("/readyz", answer))
    if place == "environment":
        monkeypatch.setenv("LUCIR_UPDATER__PORT", str(server.server_port))
    else:
        (tmp_path / "lucir.yaml").write_text(f"updater: {{host: 0.0.0.0, port: {server.server_port}}}\n")
        monkeypatch.setenv("LUCIR_CONFIG", str(tmp_path / "lucir.yaml"))
    with running(server):
        assert page_probe.main() == status
    assert reason in capsys.readouterr().err


@pytest.mark.parametrize(("port", "reason"), [("1", "does not answer"), ("nine", "updater.port")])
def test_no_page_there_is_a_failure_with_a_reason(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], port: str, reason: str
) -> None:
    monkeypatch.setenv("LUCIR_UPDATER__PORT", port)
    assert page_probe.main() == 1
    assert reason in capsys.readouterr().err
