"""S3 servers that are wrong, absent, slow, half alive, or do not honour conditions."""

import io
import socket
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import pytest
from moto.server import ThreadedMotoServer

from model_store.connect import open_store
from model_store.objects import StoreError, StoreUnavailableError
from model_store.s3.errors import Place, from_code
from tests.support.stores.bad_s3 import SECRET, Fake, _xml, connect, every_call, raw, serving
from tools.servers.server import ACCESS_KEY, SECRET_KEY, Server, free_port

WRONG_ENDPOINTS = ("localhost:9000", "ftp://host", "http://host/path", "http://", "http://host:port", "http://u:p@h")
WRONG_STORES = ("s3://", "s3://bucket/folder", "file://host/x", "/tmp/x", "ftp://x", "file:x")


class TestUnreachable:
    @pytest.mark.slow
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
        store = connect(f"http://127.0.0.1:{port}", bucket="never-made")  # moto shares buckets within a process
        for _ in range(2):
            server = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
            server.start()
            try:
                with pytest.raises(StoreError, match="create the bucket"):
                    store.check()
            finally:
                server.stop()
            with pytest.raises(StoreUnavailableError):
                store.check()

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

    @pytest.mark.parametrize(
        ("code", "status", "remedy"),
        [
            ("XMinioStorageFull", 507, "free space on the server"),
            ("XMinioAdminBucketQuotaExceeded", 400, "raise the bucket's quota"),
            ("QuotaExceeded", 403, "raise the bucket's quota"),
        ],
    )
    def test_a_server_without_room_may_have_some_later(self, code: str, status: int, remedy: str) -> None:
        """And nothing is wrong with what did not fit."""
        with pytest.raises(StoreUnavailableError, match=remedy):
            raise from_code(Place("here", "bucket"), "write 'a'", code, "", status)

    def test_a_server_that_takes_its_client_for_gone(self) -> None:
        """MinIO, on a kept connection whose client slept for 30 seconds in the middle of a request."""

        class Asleep(Fake):
            objects: ClassVar[dict[str, bytes]] = {}
            requests: ClassVar[list[str]] = []
            conditions = "honoured"
            naps = 0

            def setup(self) -> None:
                super().setup()
                self.naps_before = self.naps

            def answer(self, status: int, body: bytes, described: bytes = b"") -> None:
                gone = self.naps > self.naps_before
                super().answer(*((499, b"") if gone else (status, body, described)))

            def do_PUT(self) -> None:
                if self.naps > self.naps_before:
                    self.rfile.read(int(self.headers["Content-Length"]))
                    return self.answer(499, b"")
                return super().do_PUT()

        with serving(Asleep) as endpoint:
            store = connect(endpoint)
            store.write("a", b"1")
            assert store.conditional_writes
            calls: tuple[Callable[[], object], ...] = (
                lambda: store.read("a"),
                lambda: store.stat("a"),
                lambda: store.write("a", b"2"),
            )
            for call in calls:
                Asleep.naps += 1
                call()
            tag = store.stat("a").etag
            Asleep.naps += 1
            with pytest.raises(StoreUnavailableError, match="midway"):  # nothing with a condition is repeated
                store.replace("a", b"3", expected_etag=tag)
            assert store.read("a") == b"2"

    def test_tls_where_there_is_none(self, server: Server) -> None:
        with pytest.raises(StoreError, match="TLS"):
            connect(server.endpoint.replace("http://", "https://")).check()


class TestWrong:
    def test_a_missing_bucket(self, server: Server, tmp_path: Path) -> None:
        store = server.open("no-such-bucket")
        if server.kind == "swift":  # refuses preconditions before it looks for the bucket
            assert not store.conditional_writes
            pytest.skip("not every call asks for the bucket")
        for error in every_call(store, tmp_path):
            assert "no-such-bucket" in str(error)
            assert "create the bucket" in str(error)

    @pytest.mark.parametrize("keys", [("nobody", SECRET_KEY), (ACCESS_KEY, SECRET)])
    def test_a_wrong_key(self, minio: Server, tmp_path: Path, keys: tuple[str, str]) -> None:
        for error in every_call(minio.open(minio.bucket(), keys=lambda: keys), tmp_path):
            assert "LUCIR_S3__ACCESS_KEY" in str(error)

    def test_a_wrong_region(self, minio: Server) -> None:
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
        ("make", "remedy"),
        [
            *((lambda url=url: connect(url), "LUCIR_S3__ENDPOINT") for url in WRONG_ENDPOINTS),
            *((lambda url=url: open_store(url), "file:///path or s3://bucket") for url in WRONG_STORES),
            (lambda: open_store("s3://No_Bucket"), "a-z"),
            (lambda: connect("http://127.0.0.1:1", keys=lambda: ("key", None)), "SECRET_KEY"),
            (lambda: connect("https://127.0.0.1:1", ca_file=Path("/no/ca.pem")), "LUCIR_S3__CA_FILE"),
        ],
    )
    def test_what_cannot_be_an_address_a_store_or_a_key(self, make: Callable[[], object], remedy: str) -> None:
        with pytest.raises(StoreError, match=remedy):
            make()

    @pytest.mark.parametrize("make", [connect, open_store])
    def test_a_password_in_the_address_is_not_repeated(self, make: Callable[[str], object]) -> None:
        with pytest.raises(StoreError) as caught:
            make(f"http://user:{SECRET}@host")
        assert SECRET not in str(caught.value)

    def test_keys_that_are_no_utf8(self, server: Server) -> None:
        with pytest.raises(StoreError, match="UTF-8"):
            server.open(server.bucket()).read("incoming/\udcff.png")

    def test_foreign_objects_and_markers_are_listed_as_they_are(self, server: Server) -> None:
        if not server.flat:
            pytest.skip(f"{server.kind} makes a file of the marker")
        bucket = server.bucket()
        for key, data in {"incoming/": b"", "incoming/cat/": b"", "incoming/cat/1.png": b"1", "x": b"2"}.items():
            server.admin().put_object(bucket, key, io.BytesIO(data), len(data))
        store = server.open(bucket)
        assert [info.key for info in store.list("")] == ["incoming/cat/1.png", "x"]
        assert list(store.folders("incoming/")) == ["cat"]
