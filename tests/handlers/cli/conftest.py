"""A way to run ``lucir`` as a user does, and a small HTTP server that answers as told."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

Answer = Callable[[str, str, bytes], tuple[int, bytes]]
"""(method, path, body) -> (status, body)."""

LUCIR = (sys.executable, "-m", "handlers.cli.main")


@pytest.fixture
def lucir(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a command in ``tmp_path``, without settings of the environment."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LUCIR_")}

    def run(*arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*LUCIR, *map(str, arguments)],
            cwd=tmp_path,
            env={**environment, "COLUMNS": "200", **variables},
            capture_output=True,
            text=True,
            timeout=120,
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
