"""Bucket notifications, which MinIO and its forks send over a request that is kept open.

Other servers take the request for something else and answer at once; the SDK then asks again, without a pause and
without an end. So each listener has a connection of its own, for one request.
"""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Event
from typing import Any

import urllib3
from minio import Minio

from model_store.s3.errors import Place, s3_errors

_EVENTS = ("s3:ObjectCreated:*", "s3:ObjectRemoved:*")
_READ_TIMEOUT = 10.0
"""Seconds. The server sends a blank every half second, so that a silent one is gone."""


class _StreamEndedError(Exception):
    """The answer to the one request is over."""


class OneRequestPool(urllib3.PoolManager):
    """Sends one request; where the SDK would send the next, the stream has ended. ``connect_timeout`` in seconds."""

    def __init__(self, ca_file: Path | None, connect_timeout: float) -> None:
        super().__init__(
            timeout=urllib3.Timeout(connect=connect_timeout, read=_READ_TIMEOUT),
            retries=False,
            cert_reqs="CERT_REQUIRED",
            ca_certs=str(ca_file) if ca_file is not None else None,
        )
        self._sent = False

    def urlopen(  # type: ignore[override]  # urllib3 itself overrides it so
        self, method: str, url: str, redirect: bool = True, **options: Any
    ) -> urllib3.BaseHTTPResponse:
        """Send it, if it is the first. Some releases of MinIO do not even begin to answer."""
        if self._sent:
            raise _StreamEndedError
        self._sent = True
        try:
            return super().urlopen(method, url, redirect, **options)
        except urllib3.exceptions.ReadTimeoutError:
            raise _StreamEndedError from None


def listen(client: Minio, place: Place, prefix: str, stop: Event) -> Iterator[None]:
    """Yield for each notification, until the stream ends, or is not a stream of notifications. Raises ``StoreError``.

    ``client`` is of this call alone and has a ``OneRequestPool``.
    """
    # What is not JSON, or JSON of something else, comes from a server that does not know this request.
    with (
        s3_errors(place, f"listen to {prefix!r}"),
        suppress(_StreamEndedError, ValueError, LookupError, TypeError),
        client.listen_bucket_notification(place.bucket, prefix=prefix, events=_EVENTS) as events,
    ):
        for _ in events:
            yield
            if stop.is_set():
                return
