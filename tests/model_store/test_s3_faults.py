"""S3 servers that are wrong, absent, slow, half alive, or do not honour conditions."""

import hashlib
import io
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import urlsplit

import pytest
from moto.server import ThreadedMotoServer

from model_store.connect import open_store
from model_store.objects import (
    ObjectNotFoundError,
    ObjectStore,
    ObjectTooLargeError,
    PreconditionFailedError,
    StoreError,
    StoreUnavailableError,
)
from model_store.s3.s3_store import COPY_LIMIT
from tests.support.servers.server import free_port

if TYPE_CHECKING:
    from tests.support.servers.server import Server

SECRET = "hush-hush-secret"


class Fake(BaseHTTPRequestHandler):
    """Objects in a dictionary, with the manners of bad servers. One subclass per server."""

    protocol_version = "HTTP/1.1"
    objects: ClassVar[dict[str, bytes]]
    requests: ClassVar[list[str]]
    conditions = "ignored"  # or "refused", "unquoted", "honoured"
    lose_answers = False  # do what a conditional write asks, and die before saying so
    conflicts = 0  # answer 409 to so many conditional writes

    def log_message(self, format: str, *args: object) -> None:
        """Silence."""

    def do_PUT(self) -> None:
        kind = type(self)
        key = urlsplit(self.path).path
        data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        kind.requests.append(f"PUT {key}")
        match, absent = self.headers.get("If-Match"), self.headers.get("If-None-Match")
        if match or absent:
            if kind.conditions == "refused":
                return self.answer(501, _xml("NotImplemented"))
            if kind.conflicts and ".lucir" not in key:
                kind.conflicts -= 1
                return self.answer(409, _xml("ConditionalRequestConflict"))
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
        etag = _etag(self.objects[key])
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
        self.objects.pop(urlsplit(self.path).path, None)
        self.answer(204, b"")

    def answer(self, status: int, body: bytes, described: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/xml")
        self.send_header("ETag", f'"{_etag(described)}"')
        self.send_header("Last-Modified", "Sat, 21 Nov 2026 03:00:00 GMT")
        if status != 204:
            self.send_header("Content-Length", str(len(described) if self.command == "HEAD" else len(body)))
        self.end_headers()
        self.wfile.write(body)


def _etag(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


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
    settings = {"access_key": "key", "secret_key": SECRET, "connect_timeout": 10.0, "read_timeout": 60.0}
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


class TestUnreachable:
    def test_nobody_listens(self, tmp_path: Path) -> None:
        port = free_port()
        store = connect(f"http://127.0.0.1:{port}")
        for error in every_call(store, tmp_path):
            assert type(error) is StoreUnavailableError
            assert f"http://127.0.0.1:{port}" in str(error)
            assert "LUCIR_S3__ENDPOINT" in str(error)

    def test_an_unknown_host(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def unknown(*_: object) -> None:  # at once, whatever name servers this machine asks
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        monkeypatch.setattr(socket, "getaddrinfo", unknown)
        with pytest.raises(StoreUnavailableError, match=r"nowhere\.invalid.*ENDPOINT"):
            connect("http://nowhere.invalid:9000").read("a")

    def test_a_server_that_never_answers(self) -> None:
        with raw(None) as endpoint, pytest.raises(StoreUnavailableError, match="midway"):
            connect(endpoint, read_timeout=0.1).read("a")

    def test_a_server_that_dies_within_an_answer(self, tmp_path: Path) -> None:
        with raw(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nETag: x\r\n\r\nonly this") as endpoint:
            store = connect(endpoint)
            with pytest.raises(StoreUnavailableError, match="midway"):
                store.read("a")
            with pytest.raises(StoreUnavailableError, match="midway"):
                store.download("a", tmp_path / "copy", limit=2000)
        assert not list(tmp_path.iterdir())

    def test_a_server_that_stops_and_comes_back(self) -> None:
        port = free_port()
        server = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
        server.start()
        store = connect(f"http://127.0.0.1:{port}", bucket="never-made")  # moto shares buckets within a process
        try:
            with pytest.raises(StoreError, match="create the bucket"):
                store.check()
        finally:
            server.stop()
        with pytest.raises(StoreUnavailableError):
            store.check()
        again = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
        again.start()
        try:
            with pytest.raises(StoreError, match="create the bucket"):
                store.check()
        finally:
            again.stop()

    def test_an_overloaded_server_is_asked_three_times(self) -> None:
        busy = _xml("SlowDown")
        requests = []

        class Busy(Fake):
            def do_GET(self) -> None:
                requests.append(self.path)
                self.send_response(503)
                self.send_header("Retry-After", "3600")  # not honoured: the caller has its own plan
                self.send_header("Content-Type", "application/xml")
                self.send_header("Content-Length", str(len(busy)))
                self.end_headers()
                self.wfile.write(busy)

        with serving(Busy) as endpoint, pytest.raises(StoreUnavailableError, match="SlowDown"):
            connect(endpoint).read("a")
        assert len(requests) == 3

    def test_tls_where_there_is_none(self, server: "Server") -> None:
        with pytest.raises(StoreError, match="TLS"):
            connect(server.endpoint.replace("http://", "https://")).check()


class TestWrong:
    def test_a_missing_bucket(self, server: "Server", tmp_path: Path) -> None:
        store = server.open("no-such-bucket")
        if server.kind == "swift":  # refuses preconditions before it looks for the bucket
            assert not store.conditional_writes
            pytest.skip("not every call asks for the bucket")
        for error in every_call(store, tmp_path):
            assert "no-such-bucket" in str(error)
            assert "create the bucket" in str(error)

    @pytest.mark.parametrize("options", [{"access_key": "nobody"}, {"secret_key": SECRET}])
    def test_a_wrong_key(self, minio: "Server", tmp_path: Path, options: dict[str, str]) -> None:
        for error in every_call(minio.open(minio.bucket(), **options), tmp_path):
            assert "LUCIR_S3__ACCESS_KEY" in str(error)

    def test_a_wrong_region(self, minio: "Server") -> None:
        with pytest.raises(StoreError, match="LUCIR_S3__REGION"):
            minio.open(minio.bucket(), region="eu-elsewhere-1").check()

    @pytest.mark.parametrize("status", [b"200 OK", b"404 Not Found", b"400 Bad Request"])
    def test_a_web_server(self, status: bytes) -> None:
        page = b"<html><body>Welcome" + b"." * 5000
        head = b"HTTP/1.1 %s\r\nContent-Type: text/html\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
        with raw(head % (status, len(page)) + page) as endpoint, pytest.raises(StoreError, match="ENDPOINT") as caught:
            connect(endpoint).check()
        assert len(str(caught.value)) < 600

    @pytest.mark.parametrize(
        "endpoint", ["localhost:9000", "ftp://host", "http://host/path", "http://", "http://host:port", "http://u:p@h"]
    )
    def test_an_address_that_is_none(self, endpoint: str) -> None:
        with pytest.raises(StoreError, match="LUCIR_S3__ENDPOINT"):
            connect(endpoint)

    def test_a_password_in_the_address_is_not_repeated(self) -> None:
        with pytest.raises(StoreError) as caught:
            connect(f"http://user:{SECRET}@host")
        assert SECRET not in str(caught.value)
        with pytest.raises(StoreError) as caught:
            open_store(f"http://user:{SECRET}@host")
        assert SECRET not in str(caught.value)

    @pytest.mark.parametrize("url", ["s3://", "s3://bucket/folder", "file://host/x", "/tmp/x", "ftp://x", "file:x"])
    def test_a_store_that_is_none(self, url: str) -> None:
        with pytest.raises(StoreError, match="file:///path or s3://bucket"):
            open_store(url)

    def test_a_bucket_that_can_be_none(self) -> None:
        with pytest.raises(StoreError, match="a-z"):
            open_store("s3://No_Bucket")

    def test_half_a_key(self) -> None:
        with pytest.raises(StoreError, match="SECRET_KEY"):
            connect("http://127.0.0.1:1", secret_key=None)

    def test_a_ca_file_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(StoreError, match="LUCIR_S3__CA_FILE"):
            connect("https://127.0.0.1:1", ca_file=tmp_path / "ca.pem")

    def test_keys_that_are_no_utf8(self, server: "Server") -> None:
        with pytest.raises(StoreError, match="UTF-8"):
            server.open(server.bucket()).read("incoming/\udcff.png")

    def test_foreign_objects_and_markers_are_listed_as_they_are(self, server: "Server") -> None:
        if not server.flat:
            pytest.skip(f"{server.kind} makes a file of the marker")
        bucket = server.bucket()
        for key, data in {"incoming/": b"", "incoming/cat/": b"", "incoming/cat/1.png": b"1", "x": b"2"}.items():
            server.admin().put_object(bucket, key, io.BytesIO(data), len(data))
        store = server.open(bucket)
        assert [info.key for info in store.list("")] == ["incoming/cat/1.png", "x"]
        assert list(store.folders("incoming/")) == ["cat"]


class TestConditions:
    @pytest.mark.parametrize("conditions", ["ignored", "refused"])
    def test_without_them_it_is_a_single_writer(self, conditions: str, caplog: pytest.LogCaptureFixture) -> None:
        with fake(conditions=conditions) as (store, server):
            assert not store.conditional_writes
            assert "only one process may write" in caplog.text
            first = store.write("a", b"1", only_if_absent=True)
            with pytest.raises(PreconditionFailedError):
                store.write("a", b"2", only_if_absent=True)
            store.replace("a", b"3", expected_etag=first.etag)
            with pytest.raises(PreconditionFailedError):
                store.replace("a", b"4", expected_etag=first.etag)
            assert store.read("a") == b"3"
            assert list(server.objects) == ["/lucir/a"]  # nothing is left of the probe

    @pytest.mark.parametrize("conditions", ["honoured", "unquoted"])
    def test_either_form_of_tag_is_found_out(self, conditions: str) -> None:
        with fake(conditions=conditions) as (store, server):
            assert store.conditional_writes
            first = store.write("a", b"1", only_if_absent=True)
            store.replace("a", b"2", expected_etag=first.etag)
            with pytest.raises(PreconditionFailedError):
                store.replace("a", b"3", expected_etag=first.etag)
            assert server.objects["/lucir/a"] == b"2"

    def test_is_asked_once(self) -> None:
        with fake(conditions="honoured") as (store, server):
            assert store.conditional_writes
            asked = len(server.requests)
            assert store.conditional_writes
            assert len(server.requests) == asked

    def test_a_lost_answer_is_no_lost_write(self) -> None:
        with fake(conditions="honoured", lose_answers=True) as (store, server):
            info = store.write("a", b"mine", only_if_absent=True)
            assert store.replace("a", b"mine too", expected_etag=info.etag).etag == _etag(b"mine too")
            server.lose_answers = False
            with pytest.raises(PreconditionFailedError):  # equal content of another writer is no success of ours
                store.write("a", b"mine too", only_if_absent=True)

    def test_a_conflict_under_way_is_waited_for(self) -> None:
        with fake(conditions="honoured", conflicts=2) as (store, server):
            store.write("a", b"1", only_if_absent=True)
            server.conflicts = 5
            with pytest.raises(PreconditionFailedError, match="same time"):
                store.write("b", b"1", only_if_absent=True)


class TestMoving:
    def test_more_than_five_gib_is_refused_in_words(self) -> None:
        class Huge(Fake):
            objects: ClassVar[dict[str, bytes]] = {"/lucir/a": b"1"}
            requests: ClassVar[list[str]] = []

            def send_header(self, keyword: str, value: str) -> None:
                huge = keyword == "Content-Length" and self.command == "HEAD"
                super().send_header(keyword, str(COPY_LIMIT + 1) if huge else value)

        with serving(Huge) as endpoint, pytest.raises(StoreError, match="5 GiB"):
            connect(endpoint).move("a", "b")
        assert Huge.objects == {"/lucir/a": b"1"}

    def test_new_bytes_that_come_in_meanwhile_are_not_lost(self, server: "Server") -> None:
        bucket = server.bucket()
        store, other = server.open(bucket), server.open(bucket)
        store.write("a", b"old")
        copy = store._client.copy_object  # type: ignore[attr-defined]  # between the copy and the removal
        uploads = iter([b"new"])

        def copy_and_upload(*args: object) -> object:
            result = copy(*args)
            for data in uploads:
                other.write("a", data)
            return result

        store._client.copy_object = copy_and_upload  # type: ignore[attr-defined]
        store.move("a", "b")
        assert store.read("b") == b"new"
        with pytest.raises(ObjectNotFoundError):
            store.stat("a")


def test_a_server_that_sends_more_than_it_said() -> None:
    body = b"x" * 50
    with raw(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + body) as endpoint:
        with pytest.raises(ObjectTooLargeError):
            connect(endpoint).read("a", limit=49)
        assert connect(endpoint).read("a", limit=50) == body
