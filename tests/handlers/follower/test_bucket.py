"""A follower of a bucket in a real MinIO, with a key that may read and nothing else: the one of k8s/README.md."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from minio import MinioAdmin
from minio.credentials import StaticProvider

from model_store.connect import open_store
from model_store.objects import ObjectStore, StoreError
from model_store.versions import VersionStore
from tests.handlers.follower.conftest import Replica
from tools.servers.server import ACCESS_KEY, REGION, SECRET_KEY, Server

pytestmark = pytest.mark.slow

README = Path(__file__).resolve().parents[3] / "k8s" / "README.md"


@pytest.fixture(scope="module")
def server(minio: Server) -> Server:
    minio.admin().make_bucket("lucir")
    return minio


@pytest.fixture
def writer(server: Server) -> VersionStore:
    """In place of the folder that other tests publish to."""
    return VersionStore(server.open("lucir"))


@pytest.fixture
def reader(server: Server) -> ObjectStore:
    """The bucket, by a key that the documented policy was given to."""
    (policy,) = re.findall(r"```json\n(.*?)```", README.read_text(), re.DOTALL)
    address = server.endpoint.removeprefix("http://")
    admin = MinioAdmin(
        endpoint=address, credentials=StaticProvider(ACCESS_KEY, SECRET_KEY), region=REGION, secure=False
    )
    admin.policy_add("follow", policy=json.loads(policy))
    admin.user_add("follower-key", "follower-secret")
    admin.attach_policy(["follow"], user="follower-key")
    return open_store(
        "s3://lucir", endpoint=server.endpoint, region=REGION, keys=lambda: ("follower-key", "follower-secret")
    )


def test_the_documented_key_is_enough_and_can_do_nothing_else(
    start: Callable[..., Replica],
    publish: Callable[..., int],
    writer: VersionStore,
    reader: ObjectStore,
) -> None:
    replica = start(objects=reader)
    wait = replica.wait_serves
    publish()
    wait(1)
    publish()
    wait(2)
    writer.rollback(1)
    wait(1)
    assert replica.get("/api/status").json()["errors"] == []
    with pytest.raises(StoreError, match="write"):
        reader.write("versions/current.json", b"{}")
    writer.objects.write("archive/1/cat/image.png", b"private")
    with pytest.raises(StoreError, match="read"):
        reader.read("archive/1/cat/image.png")
    with pytest.raises(StoreError, match="delete"):
        reader.delete("versions/1/model.onnx")
    writer.verify(1)
