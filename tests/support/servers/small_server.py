"""HTTP servers that answer as told, over TCP or a Unix socket."""

import socketserver
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple


class Asked(NamedTuple):
    """One request."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


Answer = Callable[[Asked], tuple[int, bytes]]
"""Gives the status and the body."""


def handler_of(answer: Answer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            super().setup()
            self.client_address = ("local", 0)  # a Unix socket gives an empty string, which the base class indexes

        def _do(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            status, data = answer(Asked(self.command, self.path, self.headers, body))
            self.send_response(status)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = do_DELETE = _do  # noqa: N815 (the names that http.server looks for)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler


class UnixServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


@contextmanager
def running(server: socketserver.BaseServer) -> Iterator[None]:
    """It answers until the end of the block."""
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def serving(answer: Answer) -> Iterator[int]:
    """On a free port of 127.0.0.1, which it gives."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler_of(answer))
    server.daemon_threads = True
    with running(server):
        yield server.server_port
