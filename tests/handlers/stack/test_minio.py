"""The stack's own MinIO server: found or missed in words, its key kept from others, ready only with its bucket."""

import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from handlers.cli.foreground import UpRequest, resolve
from handlers.settings import Settings
from handlers.stack.errors import StackError
from handlers.stack.minio import find_minio, key_files, minio_service, minio_values
from handlers.stack.ports import check_ports
from handlers.stack.run_stack import describe, listeners
from handlers.stack.supervision.service_logs import LogSink
from handlers.stack.supervision.supervisor import Supervisor
from handlers.store import open_settings_store
from tests.support.waiting import PATIENCE
from tools.servers import minio_server


def up(data: Path, **values: object) -> tuple[Settings, dict[str, str]]:
    return resolve(UpRequest(None, {"data": data, "minio.enabled": True, **values}, (), free_ports=True))


class TestFinding:
    def test_where_there_is_none_it_says_how_to_get_one(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("MINIO_BINARY", raising=False)
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        with pytest.raises(StackError, match=r"get its program.*MINIO_BINARY.*leave --minio out"):
            find_minio()

    def test_a_wrong_name_is_said(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MINIO_BINARY", str(tmp_path / "nothing"))
        with pytest.raises(StackError, match=r"MINIO_BINARY names .*nothing"):
            find_minio()

    @pytest.mark.parametrize("where", ["named", "path", "cache"])
    def test_each_place(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
        program = tmp_path / ("lucir/minio-1" if where == "cache" else "") / "minio"
        program.parent.mkdir(parents=True, exist_ok=True)
        program.touch(mode=0o755)
        monkeypatch.delenv("MINIO_BINARY", raising=False)
        monkeypatch.setenv("PATH", str(tmp_path if where == "path" else tmp_path / "empty"))
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path if where == "cache" else tmp_path / "empty"))
        if where == "named":
            monkeypatch.setenv("MINIO_BINARY", str(program))
        assert find_minio() == program


class TestSettings:
    def test_the_children_get_the_address_and_where_the_key_is(self, tmp_path: Path) -> None:
        settings, changes = up(tmp_path / "data")
        access_key, secret_key = key_files(settings)
        assert changes["LUCIR_STORE"] == "s3://lucir"
        assert changes["LUCIR_S3__ENDPOINT"] == f"http://127.0.0.1:{settings.minio.port}"
        assert changes["LUCIR_S3__ACCESS_KEY_FILE"] == str(access_key)
        assert changes["LUCIR_S3__SECRET_KEY_FILE"] == str(secret_key)
        assert settings.store_url == "s3://lucir"

    def test_without_it_nothing_changes(self, tmp_path: Path) -> None:
        assert minio_values(Settings(data=tmp_path)) == {}
        assert describe(Settings(data=tmp_path), "http://x", ready=True).s3 == {}

    def test_a_bucket_may_be_named_and_a_folder_not(self, tmp_path: Path) -> None:
        assert up(tmp_path, store="s3://mine")[0].store_url == "s3://mine"
        with pytest.raises(StackError, match=r"s3://bucket, not file:///x"):
            up(tmp_path, store="file:///x")


@contextmanager
def serving(settings: Settings, sink: LogSink) -> Iterator[None]:
    """The server alone, from ready to gone."""
    stop, ready = threading.Event(), threading.Event()
    thread = threading.Thread(target=Supervisor([minio_service(settings)], sink).run, args=(stop, ready.set))
    thread.start()
    try:
        assert ready.wait(PATIENCE)
        yield
    finally:
        stop.set()
        thread.join(PATIENCE)


def test_it_is_ready_with_its_bucket_and_keeps_its_key_to_itself(tmp_path: Path) -> None:
    if minio_server.find_minio() is None:
        pytest.skip(minio_server.MINIO_MISSING)
    settings, _ = up(tmp_path / "data")
    sink = LogSink(tmp_path / "logs", None)
    with serving(settings, sink):
        store = open_settings_store(settings)
        store.check()
        assert store.conditional_writes
        store.write("incoming/cat/1.png", b"1")
        with pytest.raises(StackError, match=f"port {settings.minio.port} .*--minio-port"):
            check_ports(listeners(settings))
    key = [file.read_text() for file in key_files(settings)]
    with serving(settings, sink):  # the same data, the same key
        assert open_settings_store(settings).read("incoming/cat/1.png") == b"1"
    sink.close()
    assert [file.read_text() for file in key_files(settings)] == key
    assert [stat.S_IMODE(file.stat().st_mode) for file in key_files(settings)] == [0o600, 0o600]


def test_free_ports_are_all_different(tmp_path: Path) -> None:
    settings, _ = up(tmp_path)
    ports = {settings.serving.port, settings.serving.metrics_port, settings.updater.port, settings.minio.port}
    assert len(ports) == 4
