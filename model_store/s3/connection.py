"""Connections to an S3 server: our own pool, with bounded waiting and bounded retries."""

import email.utils
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import urllib3
from minio import Minio
from minio.credentials.credentials import Credentials
from minio.credentials.providers import Provider
from minio.helpers import check_bucket_name

from model_store.local_files import CHUNK
from model_store.objects import ObjectInfo, StoreError, check_size
from model_store.s3.credentials import Keys

POOL_SIZE = 16
RETRIES = 2
"""Repeated attempts of one request: lost connections and the statuses below, 0.2 s and 0.4 s apart."""
_RETRIED_STATUSES = (429, 500, 502, 503, 504)


_TAKEN_FOR_GONE = 499


class _Pool(urllib3.PoolManager):
    """Keeps no connection on which the server answers nobody any more.

    A server may take a client for gone that sleeps in the middle of a request (its machine is suspended). MinIO does so
    after 30 s, and then answers each further request of the same connection with 499, without end.
    """

    def urlopen(  # type: ignore[override]  # urllib3 itself overrides it so
        self, method: str, url: str, redirect: bool = True, **options: Any
    ) -> urllib3.BaseHTTPResponse:
        """As for a connection that broke: once more on a new one, but where nothing is to be repeated."""
        response = super().urlopen(method, url, redirect, **options)
        if response.status != _TAKEN_FOR_GONE:
            return response
        response.release_conn()
        self.clear()
        if options.get("retries") is not False and isinstance(options.get("body"), bytes | None):
            response = super().urlopen(method, url, redirect, **options)
        if response.status == _TAKEN_FOR_GONE:
            raise urllib3.exceptions.ProtocolError(f"the server takes its client for gone ({response.status})")
        return response


def make_pool(ca_file: Path | None, connect_timeout: float, read_timeout: float) -> urllib3.PoolManager:
    """A pool for one client (the SDK's client clears it when it goes). Timeouts are in seconds.

    A request waits for bytes at most ``read_timeout``, twice at worst (one repetition after a broken connection).
    Redirects are not followed: the signature would not hold, and they tell that the region is wrong.
    """
    if ca_file is not None and not ca_file.is_file():
        raise StoreError(f"there is no file of certificate authorities {ca_file}; correct LUCIR_S3__CA_FILE")
    return _Pool(
        maxsize=POOL_SIZE,
        timeout=urllib3.Timeout(connect=connect_timeout, read=read_timeout),
        retries=urllib3.Retry(
            total=RETRIES,
            read=1,
            redirect=False,
            backoff_factor=0.2,
            status_forcelist=_RETRIED_STATUSES,
            raise_on_status=False,  # the SDK then reads the server's own message
            respect_retry_after_header=False,  # a server may say an hour
        ),
        cert_reqs="CERT_REQUIRED",
        ca_certs=str(ca_file) if ca_file is not None else None,  # None: the system's
    )


class _CurrentKeys(Provider):
    """Signs each request with the keys of that moment."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys

    def retrieve(self) -> Credentials:
        """As the SDK wants them."""
        access_key, secret_key = self._keys()
        return Credentials(access_key or "", secret_key or "")


def make_client(endpoint: str, region: str, keys: Keys, pool: urllib3.PoolManager) -> Minio:
    """The SDK's client for ``http(s)://host:port``. Raises ``StoreError`` for a wrong address or half a key."""
    access_key, secret_key = keys()
    if bool(access_key) != bool(secret_key):
        raise StoreError("an S3 key has two parts: set LUCIR_S3__ACCESS_KEY and LUCIR_S3__SECRET_KEY, or neither")
    try:
        parts = urlsplit(endpoint)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path.strip("/") or parts.username:
            raise ValueError("it is http:// or https://, host and port, without a path, user or password")
        host = parts.hostname if ":" not in parts.hostname else f"[{parts.hostname}]"
        return Minio(
            host if parts.port is None else f"{host}:{parts.port}",
            credentials=_CurrentKeys(keys) if access_key else None,
            secure=parts.scheme == "https",
            region=region,
            http_client=pool,
        )
    except ValueError as error:
        shown = endpoint.rpartition("@")[2]  # a password may stand before
        raise StoreError(f"{shown!r} is not an S3 endpoint: {error}; correct LUCIR_S3__ENDPOINT") from None


def check_bucket(bucket: str) -> None:
    """Raise ``StoreError`` unless ``bucket`` can be the name of one."""
    try:
        check_bucket_name(bucket, strict=True)
    except ValueError as error:
        raise StoreError(f"{error}: 3 to 63 of a-z, 0-9, '.' and '-'; correct LUCIR_STORE=s3://bucket") from None


def describe(entry: Any) -> ObjectInfo:
    """The SDK's description of an object, which has no types, as ours."""
    modified = entry.last_modified.timestamp() if entry.last_modified else 0.0
    return ObjectInfo(entry.object_name, entry.size or 0, entry.etag or "", modified)


def written_at(headers: Mapping[str, str]) -> float | None:
    """When the server answered, in seconds since the epoch: what it takes for the object's time; None if unsaid."""
    try:
        return email.utils.parsedate_to_datetime(headers["Date"]).timestamp()
    except (KeyError, ValueError):
        return None


def pieces(client: Minio, bucket: str, key: str, limit: int) -> Iterator[bytes]:
    """The object as it is stored, piece by piece; the connection goes back to the pool whatever happens.

    Raises ``ObjectTooLargeError`` above ``limit`` bytes, and what the SDK and its connections raise.
    """
    response = client.get_object(bucket, key)
    try:
        check_size(key, int(response.headers.get("Content-Length", "0")), limit)
        size = 0
        while piece := response.read(CHUNK, decode_content=False):
            size += len(piece)
            check_size(key, size, limit)  # a server may send more than it said
            yield piece
    finally:
        response.close()
        response.release_conn()
