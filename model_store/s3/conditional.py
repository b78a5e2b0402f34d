"""Conditional writes and deletions over S3, and finding out whether a server honours them.

The SDK cannot send a precondition with an object (it would become the object's metadata), so these requests go to a
presigned address with the header beside it. Servers honour preconditions, refuse them (501) or ignore them; of
deletions fewer do than of writes.
"""

import logging
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import BinaryIO

import urllib3
from minio import Minio

from model_store.keys import RESERVED
from model_store.objects import PreconditionFailedError, StoreError
from model_store.s3.connection import written_at
from model_store.s3.errors import Place, error_in, from_code, from_connection, s3_errors

logger = logging.getLogger(__name__)

_EXPIRES = timedelta(minutes=15)  # as far as S3 lets clocks differ
_CONFLICTS = 3
_NO_SUCH_ETAG = "00000000000000000000000000000000"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said to a conditional write."""

    status: int
    etag: str
    code: str
    message: str
    date: float | None


@dataclass(frozen=True, slots=True)
class Preconditions:
    """What a server honours."""

    if_match: Callable[[str], dict[str, str]]
    """``If-Match`` as it wants it: tag -> headers."""
    deletions: bool
    """Whether a deletion may have a condition, too."""


class ConditionalWriter:
    """Conditional requests to one bucket."""

    def __init__(self, client: Minio, pool: urllib3.PoolManager, place: Place) -> None:
        self._client = client
        self._pool = pool
        self._place = place

    def probe(self) -> Preconditions | None:
        """What this server honours; None where it honours no preconditions of writes.

        Writes a few times to one key of its own below ``.lucir/`` and removes it. Raises ``StoreError`` when the
        bucket cannot be written at all.
        """
        key = f"{RESERVED}/probe-{os.urandom(8).hex()}"
        what = "try conditional writes"  # without the key, which is another one each time: errors are told once
        try:
            first = self._send("PUT", key, b"1", {"If-None-Match": "*"}, what)
            if first.status in {400, 501}:
                return None
            self._expect_success(first, what)
            if self._send("PUT", key, b"2", {"If-None-Match": "*"}, what).status != 412:
                return None
            for form in (quoted, unquoted):
                wrong = self._send("PUT", key, b"3", form(_NO_SUCH_ETAG), what).status
                if wrong == 412 and self._send("PUT", key, b"4", form(first.etag), what).status == 200:
                    kept = self._send("DELETE", key, b"", form(_NO_SUCH_ETAG), what).status == 412
                    return Preconditions(form, kept)
            return None
        finally:
            with suppress(StoreError), s3_errors(self._place, f"delete {key!r}"):
                self._client.remove_object(self._place.bucket, key)

    def put(
        self, key: str, data: bytes | BinaryIO, headers: dict[str, str], what: str, size: int | None = None
    ) -> Answer:
        """Write if the condition in ``headers`` holds and return the answer; else ``PreconditionFailedError``.

        size: how many bytes ``data`` holds, where it is a file.

        Nothing is repeated blindly: after a connection that broke the caller must look which writer won.
        """
        if size is not None:
            headers = headers | {"Content-Length": str(size)}
        answer = self._persist("PUT", key, data, headers, what)
        if answer.status == 404 and answer.code == "NoSuchKey":
            raise PreconditionFailedError(f"cannot {what} in {self._place}: it was removed meanwhile")
        self._expect_success(answer, what)
        return answer

    def delete(self, key: str, headers: dict[str, str], what: str) -> None:
        """Delete if the condition in ``headers`` holds; else ``PreconditionFailedError``, or ``ObjectNotFoundError``
        where nothing is there any more.
        """
        self._expect_success(self._persist("DELETE", key, b"", headers, what), what)

    def _persist(self, method: str, key: str, data: bytes | BinaryIO, headers: dict[str, str], what: str) -> Answer:
        for attempt in range(_CONFLICTS):
            if not isinstance(data, bytes):
                data.seek(0)
            answer = self._send(method, key, data, headers, what)
            if answer.status != 409:
                return answer
            time.sleep(0.1 * 2**attempt)  # another conditional request was under way at this moment
        raise PreconditionFailedError(f"cannot {what} in {self._place}: others write it at the same time")

    def _send(self, method: str, key: str, data: bytes | BinaryIO, headers: dict[str, str], what: str) -> Answer:
        with s3_errors(self._place, what):
            url = self._client.get_presigned_url(method, self._place.bucket, key, expires=_EXPIRES)
        # A deletion may be repeated after a connection that broke: what is gone is not deleted again.
        retries = None if method == "DELETE" else False
        try:
            response = self._pool.request(method, url, body=data, headers=headers, retries=retries)
        except urllib3.exceptions.HTTPError as error:
            raise from_connection(self._place, what, error) from None
        code, message = error_in(response.data) if response.status >= 300 else ("", "")
        etag = response.headers.get("ETag", "").strip('"')
        return Answer(response.status, etag, code, message, written_at(response.headers))

    def _expect_success(self, answer: Answer, what: str) -> None:
        if answer.status not in {200, 204}:
            text = answer.message or "no reason given"
            raise from_code(self._place, what, answer.code, text, answer.status)


def quoted(etag: str) -> dict[str, str]:
    """``If-Match`` as the standard has it."""
    return {"If-Match": f'"{etag}"'}


def unquoted(etag: str) -> dict[str, str]:
    """``If-Match`` as older Ceph gateways want it."""
    return {"If-Match": etag}
