"""S3 servers with bad manners, and what each call of a store answers to them."""

import hashlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar
from urllib.parse import urlsplit

import pytest

from model_store.connect import open_store
from model_store.objects import ObjectStore, StoreError

SECRET = "hush-hush-secret"


class Fake(BaseHTTPRequestHandler):
    """Objects in a dictionary, with the manners of bad servers. One subclass per server."""

    protocol_version = "HTTP/1.1"
    objects: ClassVar[dict[str, bytes]]
    requests: ClassVar[list[str]]
    conditions = "ignored"  # or "refused", "unquoted", "honoured"
    lose_answers = False  # do what a conditional write asks, and die before saying so
    lose_requests = False  # die before doing what a conditional write asks
    conflicts = 0  # answer 409 to so many conditional requests
    deletions = "ignored"  # conditions of them; or "refused", "honoured"

    def log_message(self, format: str, *args: object) -> None:
        """Silence."""

    def do_PUT(self) -> None:
        kind = type(self)
        key = urlsplit(self.path).path
        data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if source := self.headers.get("x-amz-copy-source"):
            data = kind.objects[f"/{source.lstrip('/')}"]
            kind.objects[key] = data
            return self.answer(200, _copied(data))
        kind.requests.append(f"PUT {key}")
        match, absent = self.headers.get("If-Match"), self.headers.get("If-None-Match")
        if match or absent:
            if kind.conditions == "refused":
                return self.answer(501, _xml("NotImplemented"))
            if kind.conflicts and ".lucir" not in key:
                kind.conflicts -= 1
                return self.answer(409, _xml("ConditionalRequestConflict"))
            if kind.lose_requests and ".lucir" not in key:
                self.close_connection = True
                return self.connection.close()
            if kind.conditions != "ignored" and not self._holds(key, match, absent):
                return self.answer(412, _xml("PreconditionFailed"))
        kind.objects[key] = data
        if kind.lose_answers and (match or absent) and ".lucir" not in key:
            self.close_connection = True
            return self.connection.close()
        return self.answer(200, b"", data)

    def _holds(self, key: str, match: str | None, absent: str | None) -> bool:
        if absent:
            return key not in self.objects
        assert match is not None
        etag = etag_of(self.objects[key])
        return match == (etag if self.conditions == "unquoted" else f'"{etag}"')

    def do_GET(self) -> None:
        key = urlsplit(self.path).path
        self.requests.append(f"GET {key}")
        if key not in self.objects:
            return self.answer(404, _xml("NoSuchKey"))
        return self.answer(200, self.objects[key], self.objects[key])

    def do_HEAD(self) -> None:
        key = urlsplit(self.path).path
        self.requests.append(f"HEAD {key}")
        if key in self.objects or key == "/lucir":
            return self.answer(200, b"", self.objects.get(key, b""))
        return self.answer(404, b"")

    def do_DELETE(self) -> None:
        kind, key, match = type(self), urlsplit(self.path).path, self.headers.get("If-Match")
        kind.requests.append(f"DELETE {key}{' if' if match else ''}")
        if match and kind.deletions != "ignored":
            if kind.deletions == "refused":
                return self.answer(501, _xml("NotImplemented"))
            if kind.conflicts and ".lucir" not in key:
                kind.conflicts -= 1
                return self.answer(409, _xml("ConditionalRequestConflict"))
            if key not in kind.objects:
                return self.answer(404, _xml("NoSuchKey"))
            if not self._holds(key, match, None):
                return self.answer(412, _xml("PreconditionFailed"))
        kind.objects.pop(key, None)
        if kind.lose_answers and match and ".lucir" not in key:
            kind.lose_answers = False
            self.close_connection = True
            return self.connection.close()
        return self.answer(204, b"")

    def answer(self, status: int, body: bytes, described: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/xml")
        self.send_header("ETag", f'"{etag_of(described)}"')
        self.send_header("Last-Modified", "Sat, 21 Nov 2026 03:00:00 GMT")
        if status != 204:
            self.send_header("Content-Length", str(len(described) if self.command == "HEAD" else len(body)))
        self.end_headers()
        self.wfile.write(body)


def etag_of(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def _copied(data: bytes) -> bytes:
    told = f'<LastModified>2026-11-21T03:00:00.000Z</LastModified><ETag>"{etag_of(data)}"</ETag>'
    return f"<CopyObjectResult>{told}</CopyObjectResult>".encode()


def _xml(code: str) -> bytes:
    return f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode()


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def fake(**manners: object) -> Iterator[tuple[ObjectStore, type[Fake]]]:
    handler = type("OneFake", (Fake,), {"objects": {}, "requests": [], **manners})
    with serving(handler) as endpoint:
        yield connect(endpoint), handler


@contextmanager
def raw(answer: bytes | None) -> Iterator[str]:
    """A server that answers every request with these bytes and hangs up; None: never answers."""
    listener = socket.create_server(("127.0.0.1", 0))
    open_connections = []

    def run() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            open_connections.append(connection)
            if answer is not None:
                connection.recv(65536)
                connection.sendall(answer)
                connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()
        for connection in open_connections:
            connection.close()


def connect(endpoint: str, bucket: str = "lucir", **options: object) -> ObjectStore:
    settings = {"keys": lambda: ("key", SECRET), "connect_timeout": 10.0, "read_timeout": 60.0}
    return open_store(f"s3://{bucket}", endpoint=endpoint, **(settings | options))


def every_call(store: ObjectStore, tmp_path: Path) -> list[StoreError]:
    """What each operation raises; all of them must."""
    (tmp_path / "file").write_bytes(b"1")
    calls = (
        store.check,
        lambda: store.conditional_writes,
        lambda: list(store.list("")),
        lambda: list(store.folders("")),
        lambda: store.stat("a"),
        lambda: store.read("a"),
        lambda: store.download("a", tmp_path / "copy", limit=10),
        lambda: store.write("a", b"1"),
        lambda: store.write("a", b"1", only_if_absent=True),
        lambda: store.replace("a", b"1", expected_etag="x"),
        lambda: store.upload("a", tmp_path / "file"),
        lambda: store.move("a", "b"),
        lambda: store.delete("a"),
    )
    errors = []
    for call in calls:
        with pytest.raises(StoreError) as caught:
            call()
        errors.append(caught.value)
        chain = f"{caught.value!r} {caught.value.__cause__!r}"
        assert SECRET not in chain
        assert "X-Amz-Signature" not in chain
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    return errors
