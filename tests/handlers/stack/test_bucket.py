"""Making the bucket, against moto's S3 server."""

import re
from collections.abc import Iterator

import httpx
import pytest
from moto.server import ThreadedMotoServer

from handlers.settings import Settings
from handlers.stack.bucket import ensure_bucket
from handlers.store import open_settings_store
from model_store.objects import StoreError


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    httpx.post(f"http://{host}:{port}/moto-api/reset").raise_for_status()  # its buckets are shared by all its servers
    yield f"http://{host}:{port}"
    server.stop()


def settings(endpoint: str, store: str) -> Settings:
    s3 = {"endpoint": endpoint, "access_key": "key", "secret_key": "secret", "connect_timeout_seconds": 10}
    return Settings.model_validate({"store": store, "s3": s3})


def test_the_bucket_is_made_once_and_can_be_used(endpoint: str) -> None:
    wanted = settings(endpoint, "s3://lucir")
    assert ensure_bucket(wanted) is True
    assert ensure_bucket(wanted) is False
    open_settings_store(wanted).check()


@pytest.mark.parametrize(
    ("store", "message"),
    [("", "is not a bucket: set the store to s3://bucket"), ("s3://No_Bucket", "invalid bucket name")],
)
def test_a_store_that_is_no_bucket_is_refused(endpoint: str, store: str, message: str) -> None:
    with pytest.raises(StoreError, match=re.escape(message)):
        ensure_bucket(settings(endpoint, store))


def test_a_server_that_is_away_is_named() -> None:
    with pytest.raises(StoreError, match=r"bucket 'lucir' at http://127.0.0.1:1"):
        ensure_bucket(settings("http://127.0.0.1:1", "s3://lucir"))
