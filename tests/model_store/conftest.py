"""Stores to test against: a folder, moto's server, and the real MinIO where its binary is present."""

import io
import logging
import os
import shutil
import socket
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from minio import Minio
from minio.error import MinioException
from moto.server import ThreadedMotoServer
from urllib3.exceptions import HTTPError

from model_store.connect import open_store
from model_store.manifest import Counts, Manifest, Preprocessing, now
from model_store.objects import ObjectStore
from model_store.versions import VersionStore

REGION = "us-east-1"
ACCESS_KEY = "lucir-test-key"
SECRET_KEY = "lucir-test-secret"


@dataclass(frozen=True)
class Server:
    """A running S3 server."""

    endpoint: str
    kind: str

    def admin(self) -> Minio:
        """A client of somebody else: what people do to the bucket goes through it, not through our code."""
        return Minio(self.endpoint.removeprefix("http://"), ACCESS_KEY, SECRET_KEY, secure=False, region=REGION)

    def bucket(self) -> str:
        """A new bucket."""
        name = f"lucir-{uuid.uuid4().hex[:12]}"
        self.admin().make_bucket(name)
        return name

    def open(self, bucket: str, **options: object) -> ObjectStore:
        """Our store of a bucket."""
        settings = {"endpoint": self.endpoint, "region": REGION, "access_key": ACCESS_KEY, "secret_key": SECRET_KEY}
        return open_store(f"s3://{bucket}", **(settings | options))


@dataclass(frozen=True)
class Place:
    """A store under test and the other side of it: how people put and remove files there."""

    store: ObjectStore
    put: Callable[[str, bytes], None]
    remove: Callable[[str], None]
    make_folder: Callable[[str], None]


@pytest.fixture(scope="session")
def moto() -> Iterator[Server]:
    """moto's server, in threads of this process."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    yield Server(f"http://127.0.0.1:{port}", "moto")
    server.stop()


@pytest.fixture(scope="session")
def minio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The real server, as a process. Tests that want it are skipped where it was not installed."""
    binary = find_minio()
    if binary is None:
        pytest.skip("no MinIO server: run tests/servers/install_minio.sh, or set MINIO_BINARY to its binary")
    port = free_port()
    process = subprocess.Popen(
        [binary, "server", "--quiet", "--address", f"127.0.0.1:{port}", tmp_path_factory.mktemp("minio")],
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path_factory.mktemp("home")),
            "MINIO_ROOT_USER": ACCESS_KEY,
            "MINIO_ROOT_PASSWORD": SECRET_KEY,
            "MINIO_BROWSER": "off",
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    server = Server(f"http://127.0.0.1:{port}", "minio")
    try:
        _wait_until_ready(server, process)
        yield server
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture(params=["moto", "minio"])
def server(request: pytest.FixtureRequest) -> Server:
    """Every S3 server in turn."""
    found: Server = request.getfixturevalue(request.param)
    return found


@pytest.fixture(params=["directory", "moto", "minio"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Every kind of store in turn, empty."""
    if request.param == "directory":
        return directory_place(tmp_path / "store")
    found: Server = request.getfixturevalue(request.param)
    return bucket_place(found)


@pytest.fixture
def store(place: Place) -> ObjectStore:
    """The store alone."""
    return place.store


@pytest.fixture
def directory(tmp_path: Path) -> Place:
    """A directory store, empty, at ``tmp_path / "store"``."""
    return directory_place(tmp_path / "store")


@pytest.fixture
def make_manifest() -> Callable[..., Manifest]:
    """A manifest without files, with any field set."""

    def make(version: int, **fields: object) -> Manifest:
        given = {
            "version": version,
            "parent": version - 1 or None,
            "update_id": f"update-{version}",
            "created_at": now(),
            "classes": ("cat", "dög"),
            "new_classes": (),
            "updated_classes": (),
            "preprocessing": Preprocessing(size=32, resize=36),
            "readout": "cnn",
            "method": "lucir",
            "config": {"lr": 0.1},
            "counts": Counts(train={"cat": 3}, holdout={}, exemplars={}),
            "files": {},
            "software": {},
            "timings": {"learn": 1.5},
        }
        return Manifest.model_validate(given | fields)

    return make


@pytest.fixture
def publish(tmp_path: Path, make_manifest: Callable[..., Manifest]) -> Callable[..., Manifest]:
    """Publish the next version, with these files (name -> content)."""

    def run(versions: VersionStore, content: dict[str, bytes] | None = None, **fields: object) -> Manifest:
        folder = tmp_path / f"source-{uuid.uuid4().hex}"
        folder.mkdir()
        number = versions.next_number()
        content = content or {"model.onnx": b"model %d" % number, "checkpoint.safetensors": b"weights"}
        for name, data in content.items():
            (folder / name).write_bytes(data)
        return versions.publish(make_manifest(number, **fields), {name: folder / name for name in content})

    return run


def directory_place(root: Path) -> Place:
    store = open_store(root.as_uri())

    def put(key: str, data: bytes) -> None:
        (root / key).parent.mkdir(parents=True, exist_ok=True)
        (root / key).write_bytes(data)

    return Place(store, put, lambda key: (root / key).unlink(), lambda key: (root / key).mkdir(parents=True))


def bucket_place(server: Server) -> Place:
    bucket = server.bucket()
    admin = server.admin()

    def put(key: str, data: bytes) -> None:
        admin.put_object(bucket, key, io.BytesIO(data), len(data))

    return Place(
        server.open(bucket), put, lambda key: admin.remove_object(bucket, key), lambda key: put(f"{key}/", b"")
    )


def find_minio() -> str | None:
    """The server's binary: named by MINIO_BINARY, on the path, or where install_minio.sh leaves it."""
    named = os.environ.get("MINIO_BINARY")
    if named:
        return named
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lucir"
    built = sorted(str(path) for path in cache.glob("minio-*/minio"))
    return built[-1] if built else shutil.which("minio")


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


def _wait_until_ready(server: Server, process: "subprocess.Popen[bytes]") -> None:
    for _ in range(300):
        if process.poll() is not None:
            raise RuntimeError(f"MinIO ended with {process.returncode}")
        try:
            server.admin().list_buckets()
        except (HTTPError, MinioException):  # not yet
            time.sleep(0.1)
        else:
            return
    raise RuntimeError("MinIO did not become ready")
