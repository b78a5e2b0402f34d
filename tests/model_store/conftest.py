"""Stores to test against: a folder, moto's server, and the servers of ``tools/servers`` that are installed."""

import io
import logging
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from moto.s3.responses import S3Response
from moto.server import ThreadedMotoServer

from model_store.connect import open_store
from model_store.manifest import Manifest
from model_store.objects import ObjectStore
from model_store.versions import VersionStore
from tools.manifests import make_manifest
from tools.servers.ceph_server import CEPH_MISSING, ceph_server, find_ceph
from tools.servers.minio_server import MINIO_MISSING, find_minio, minio_server
from tools.servers.rclone_server import RCLONE_MISSING, find_rclone, rclone_server
from tools.servers.server import Server, free_port
from tools.servers.swift_server import SWIFT_MISSING, find_swift, swift_server

SERVERS = [
    "moto",
    "minio",
    "rclone",
    pytest.param("swift", marks=pytest.mark.slow),
    pytest.param("ceph", marks=pytest.mark.slow),
]


@dataclass(frozen=True)
class Place:
    """A store under test and the other side of it: how people put and remove files there."""

    store: ObjectStore
    server: Server | None
    """What stands behind it; None for a folder."""
    put: Callable[[str, bytes], None]
    remove: Callable[[str], None]
    make_folder: Callable[[str], None]


@pytest.fixture(scope="session")
def moto() -> Iterator[Server]:
    """moto's server, in threads of this process.

    It compares and writes in two steps. Here one request comes after the other, so that of many writers one wins.
    """
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    lock, respond = threading.Lock(), S3Response.key_response

    def respond_alone(self: S3Response, *arguments: Any) -> Any:
        with lock:
            return respond(self, *arguments)

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=free_port(), verbose=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(S3Response, "key_response", respond_alone)
        server.start()
        _, port = server.get_host_and_port()
        yield Server(f"http://127.0.0.1:{port}", "moto", conditional_deletions=True)
        server.stop()


INSTALLED = {
    "minio": (find_minio, minio_server, MINIO_MISSING),  # the reference
    "ceph": (find_ceph, ceph_server, CEPH_MISSING),  # a second real implementation
    "swift": (find_swift, swift_server, SWIFT_MISSING),  # refuses preconditions
    "rclone": (find_rclone, rclone_server, RCLONE_MISSING),  # ignores preconditions
}


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Server]]:
    """Start a real server when it is first asked for. Tests that want one are skipped where it was not installed."""
    with ExitStack() as kept:

        @cache
        def start(kind: str) -> Server:
            find, run, missing = INSTALLED[kind]
            if find() is None:
                pytest.skip(missing)
            return kept.enter_context(run(tmp_path_factory.mktemp(kind)))

        yield start


@pytest.fixture
def minio(installed: Callable[[str], Server]) -> Server:
    return installed("minio")


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest) -> Server:
    """Every S3 server in turn."""
    return server_named(request.param, request)


@pytest.fixture(params=["directory", *SERVERS])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Every kind of store in turn, empty."""
    if request.param == "directory":
        return directory_place(tmp_path / "store")
    return bucket_place(server_named(request.param, request))


def server_named(kind: str, request: pytest.FixtureRequest) -> Server:
    found: Server = request.getfixturevalue("moto") if kind == "moto" else request.getfixturevalue("installed")(kind)
    return found


@pytest.fixture
def store(place: Place) -> ObjectStore:
    """The store alone."""
    return place.store


@pytest.fixture
def several_writers(place: Place) -> None:
    """For tests of writers at the same time: a server without preconditions is for one, by declaration."""
    if place.server is not None and not place.server.conditional:
        pytest.skip(f"{place.server.kind} does not honour preconditions: one writer only")


@pytest.fixture
def directory(tmp_path: Path) -> Place:
    """A directory store, empty, at ``tmp_path / "store"``."""
    return directory_place(tmp_path / "store")


@pytest.fixture
def publish(tmp_path: Path) -> Callable[..., Manifest]:
    """Publish the next version, with these files (name -> content)."""

    def run(versions: VersionStore, content: dict[str, bytes] | None = None, **fields: object) -> Manifest:
        folder = tmp_path / f"source-{uuid.uuid4().hex}"
        folder.mkdir()
        number = versions.next_number()
        content = content or {"model.onnx": b"model %d" % number, "checkpoint.safetensors": b"weights"}
        for name, data in content.items():
            (folder / name).write_bytes(data)
        return versions.publish(
            make_manifest(number, **({"classes": ("cat", "dög")} | fields)), {name: folder / name for name in content}
        )

    return run


def directory_place(root: Path) -> Place:
    store = open_store(root.as_uri())

    def put(key: str, data: bytes) -> None:
        (root / key).parent.mkdir(parents=True, exist_ok=True)
        (root / key).write_bytes(data)

    return Place(store, None, put, lambda key: (root / key).unlink(), lambda key: (root / key).mkdir(parents=True))


def bucket_place(server: Server) -> Place:
    bucket = server.bucket()
    admin = server.admin()

    def put(key: str, data: bytes) -> None:
        admin.put_object(bucket, key, io.BytesIO(data), len(data))

    return Place(
        server.open(bucket),
        server,
        put,
        lambda key: admin.remove_object(bucket, key),
        lambda key: put(f"{key}/", b""),
    )
