"""A real S3 server that goes away in the middle of an update, and a folder that grows meanwhile."""

import hashlib
import io
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from minio import Minio

from handlers.settings import Settings
from handlers.updater.documents import Done
from model_store.objects import ObjectNotFoundError, ObjectStore
from model_store.versions import VersionStore
from tests.handlers.updater.conftest import DigitFiles
from tests.handlers.updater.process import start, status_of, wait_until
from tests.handlers.updater.test_loop import child_of
from tests.servers.minio_server import MINIO_MISSING, find_minio, minio_server
from tests.servers.server import ACCESS_KEY, REGION, SECRET_KEY, free_port

pytestmark = pytest.mark.slow


@pytest.fixture
def process_settings(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The bucket ``drops`` of a server that the test starts; the key reaches the process by its environment."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    endpoint = f"http://127.0.0.1:{free_port()}"
    values = {"endpoint": endpoint, "region": REGION, "access_key": ACCESS_KEY, "secret_key": SECRET_KEY}
    for name, value in values.items():
        monkeypatch.setenv(f"LUCIR_S3__{name.upper()}", value)
    updater = settings.updater.model_copy(update={"port": port, "lease_seconds": 3})
    return settings.model_copy(update={"store": "s3://drops", "updater": updater})


@pytest.fixture
def running() -> Iterator[list["subprocess.Popen[bytes]"]]:
    processes: list[subprocess.Popen[bytes]] = []
    yield processes
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.wait()


def put(client: Minio, name: str, files: list[bytes], first: int = 0) -> list[str]:
    for index, data in enumerate(files, first):
        client.put_object("drops", f"incoming/{name}/{index}.png", io.BytesIO(data), len(data))
    return [hashlib.sha256(data).hexdigest() for data in files]


def ended(objects: ObjectStore, update: str) -> Done | None:
    try:
        return Done.model_validate_json(objects.read(f"updates/{update}/done.json"))
    except ObjectNotFoundError:
        return None


def contents(objects: ObjectStore, prefix: str) -> list[str]:
    keys = [info.key for info in objects.list(prefix) if not info.key.endswith(".reason.json")]
    return sorted(hashlib.sha256(objects.read(key)).hexdigest() for key in keys)


@pytest.mark.skipif(find_minio() is None, reason=MINIO_MISSING)
def test_the_server_stops_while_a_growing_folder_is_learnt(
    process_settings: Settings,
    digit_files: DigitFiles,
    tmp_path: Path,
    running: list["subprocess.Popen[bytes]"],
) -> None:
    port = int(os.environ["LUCIR_S3__ENDPOINT"].rsplit(":", 1)[1])
    with minio_server(tmp_path / "minio", port=port) as server:
        server.admin().make_bucket("drops")
        process = start(process_settings)
        running.append(process)
        first = [put(server.admin(), name, digit_files[digit][:12]) for name, digit in (("zero", 0), ("one", 1))]
        wait_until(lambda: child_of(process), process)
        # While it learns, more comes into a folder that it has taken up, and a file of which half has arrived.
        later = put(server.admin(), "zero", digit_files[0][12:20], first=12)
        half = put(server.admin(), "zero", [digit_files[0][20][:60]], first=20)

    # The server is gone: learning goes on, nothing is published, and the reason is shown.
    wait_until(lambda: not status_of(process_settings)["store"]["ok"], process)
    assert "127.0.0.1" in status_of(process_settings)["store"]["error"]
    assert process.poll() is None

    with minio_server(tmp_path / "minio", port=port) as server:
        objects = server.open("drops")
        assert wait_until(lambda: ended(objects, "000001"), process).result == "published"
        assert contents(objects, "archive/") == sorted(first[0] + first[1])
        assert wait_until(lambda: ended(objects, "000002"), process).result == "published"
        assert contents(objects, "archive/") == sorted(first[0] + first[1] + later)
        assert contents(objects, "rejected/") == half
        assert contents(objects, "incoming/") == []
        assert VersionStore(objects).numbers() == [1, 2]
        assert status_of(process_settings)["lease"]["state"] == "active"
        process.terminate()
        assert process.wait(20) == 0
