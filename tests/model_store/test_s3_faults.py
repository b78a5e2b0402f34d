"""S3 servers that are wrong, absent, slow, half alive, or do not honour conditions."""

import io
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import pytest
from moto.server import ThreadedMotoServer

from model_store.connect import open_store
from model_store.objects import (
    StoreError,
    StoreUnavailableError,
)
from tools.servers.server import free_port

if TYPE_CHECKING:
    from tools.servers.server import Server

from tests.support.bad_s3 import SECRET, Fake, _xml, connect, every_call, raw, serving


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
