"""A way to run ``lucir`` as a user does, and a small HTTP server that answers as told."""

import io
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from handlers.cli.main import main
from tests.support.waiting import PATIENCE

Answer = Callable[[str, str, bytes], tuple[int, bytes]]
"""(method, path, body) -> (status, body)."""

LUCIR = (sys.executable, "-m", "handlers.cli.main")
Run = Callable[..., subprocess.CompletedProcess[str]]


def clean_environment() -> dict[str, str]:
    """This process's environment without settings, on a wide terminal."""
    return {name: value for name, value in os.environ.items() if not name.startswith("LUCIR_")} | {"COLUMNS": "200"}


@pytest.fixture
def lucir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run ``main`` in ``tmp_path``, without settings of the environment; in this process, for the sake of time."""

    def run(*arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
        words = ["lucir", *map(str, arguments)]
        out, err, status = io.StringIO(), io.StringIO(), 0
        with monkeypatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            patch.chdir(tmp_path)
            patch.setattr(sys, "argv", words)
            patch.setattr(os, "environ", clean_environment() | variables)
            try:
                main()
            except SystemExit as end:
                status = int(end.code or 0)
        return subprocess.CompletedProcess(words, status, out.getvalue(), err.getvalue())

    return run


@pytest.fixture
def lucir_process(tmp_path: Path) -> Run:
    """The same as a process of its own."""

    def run(*arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*LUCIR, *map(str, arguments)],
            cwd=tmp_path,
            env=clean_environment() | variables,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    return run


@pytest.fixture
def serve() -> Iterator[Callable[[Answer], str]]:
    """Start servers on free ports; each answers requests with a function. Gives the address."""
    servers: list[ThreadingHTTPServer] = []

    def start(answer: Answer) -> str:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _do(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                status, data = answer(self.command, self.path, body)
                self.send_response(status)
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = _do  # noqa: N815 (the names that http.server looks for)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_address[1]}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()
