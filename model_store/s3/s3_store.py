"""An object store in an S3 bucket, through the ``minio`` SDK.

Uses what every S3 server has: no tags, no appending (servers are known to destroy objects by either). Where a server
does not honour preconditions, ``conditional_writes`` is False and conditional writes look before they write: then only
one process may write; two updaters need another server.
"""

import io
import logging
import tempfile
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO

from minio.commonconfig import CopySource
from minio.helpers import ObjectWriteResult

from model_store.keys import RESERVED, check_folder
from model_store.local_files import holds, os_errors, sibling
from model_store.objects import (
    READ_LIMIT,
    ObjectInfo,
    ObjectNotFoundError,
    ObjectTooLargeError,
    PreconditionFailedError,
    StoreError,
    StoreUnavailableError,
)
from model_store.s3.conditional import ConditionalWriter, Preconditions
from model_store.s3.connection import check_bucket, describe, make_client, make_pool, pieces, written_at
from model_store.s3.credentials import Keys, no_keys
from model_store.s3.errors import Place, s3_errors
from model_store.s3.listening import OneRequestPool, listen

logger = logging.getLogger(__name__)

PART_SIZE = 16 * 1024 * 1024
"""Of larger uploads, in bytes; three parts are in memory at a time."""
COPY_LIMIT = 5 * 1024**3
"""Largest object that a server copies in one request, in bytes."""
WRITE_LIMIT = 5 * 1024**3
"""Largest object that one request writes, in bytes."""
_MOVE_ATTEMPTS = 3


class S3Store:
    """A bucket that exists. Nothing is sent before the first call. Timeouts are in seconds.

    Raises ``StoreError`` for an endpoint that is not an address, half a key, or a missing ``ca_file``.
    """

    def __init__(
        self,
        bucket: str,
        *,
        endpoint: str,
        region: str = "us-east-1",
        keys: Keys = no_keys,
        ca_file: Path | None = None,
        connect_timeout: float = 5.0,
        read_timeout: float = 30.0,
    ) -> None:
        check_bucket(bucket)
        pool = make_pool(ca_file, connect_timeout, read_timeout)
        self._connect = partial(make_client, endpoint, region, keys)
        self._client = self._connect(pool)
        self._listening_pool = partial(OneRequestPool, ca_file, connect_timeout)
        self._bucket = bucket
        self._place = Place(endpoint, bucket)
        self._conditional = ConditionalWriter(self._client, pool, self._place)
        self._probing = threading.Lock()
        self._probed = False
        self._honoured: Preconditions | None = None

    @property
    def url(self) -> str:
        """``s3://bucket``."""
        return f"s3://{self._bucket}"

    @property
    def conditional_writes(self) -> bool:
        """Whether the server honours preconditions; asked once, at the first need."""
        return self._preconditions() is not None

    @property
    def exact_moves(self) -> bool:
        """Whether the server honours preconditions of deletions, too; asked together with those of writes."""
        honoured = self._preconditions()
        return honoured is not None and honoured.deletions

    def check(self) -> None:
        """Raise ``StoreError`` unless the bucket can be listed, written and deleted from."""
        with s3_errors(self._place, "list"):
            next(iter(self._client.list_objects(self._bucket, recursive=True)), None)
        key = f"{RESERVED}/check"
        with s3_errors(self._place, "write"):
            self._client.put_object(self._bucket, key, io.BytesIO(b"check"), 5)
        with s3_errors(self._place, "read"):
            self._client.stat_object(self._bucket, key)
        with s3_errors(self._place, "delete"):
            self._client.remove_object(self._bucket, key)
        self._preconditions()

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Every object below ``prefix`` in key order, a page of 1000 at a time. Folder markers are not objects."""
        with s3_errors(self._place, f"list {prefix!r}"):
            for entry in self._client.list_objects(self._bucket, prefix=prefix, recursive=True):
                marker = entry.object_name.endswith("/") and not entry.size
                if not marker and not entry.object_name.startswith(f"{RESERVED}/"):
                    yield describe(entry)

    def folders(self, prefix: str) -> Iterator[str]:
        """Names of the folders directly below ``prefix``; an empty one exists where a client put a marker."""
        with s3_errors(self._place, f"list the folders of {prefix!r}"):
            for entry in self._client.list_objects(self._bucket, prefix=check_folder(prefix)):
                name = entry.object_name[len(prefix) : -1]
                if entry.object_name.endswith("/") and name and (prefix or name != RESERVED):
                    yield name

    def stat(self, key: str) -> ObjectInfo:
        """Describe one object. Raises ``ObjectNotFoundError``."""
        try:
            with s3_errors(self._place, f"stat {key!r}"):
                return describe(self._client.stat_object(self._bucket, key))
        except ObjectNotFoundError:
            # The answer to HEAD has no body, so that the SDK takes a missing bucket for a missing object.
            with s3_errors(self._place, f"stat {key!r}"):
                if self._client.bucket_exists(self._bucket):
                    raise
            raise StoreError(
                f"there is no {self._place}: create the bucket, or correct its name (LUCIR_STORE=s3://bucket)"
            ) from None

    def read(self, key: str, *, limit: int = READ_LIMIT) -> bytes:
        """The whole object. Raises ``ObjectNotFoundError``, or ``ObjectTooLargeError`` above ``limit`` bytes."""
        with s3_errors(self._place, f"read {key!r}"):
            return b"".join(pieces(self._client, self._bucket, key, limit))

    def download(self, key: str, path: Path, *, limit: int) -> None:
        """Write the object to ``path`` (replaced atomically). Raises as ``read`` does."""
        with sibling(path) as temporary, s3_errors(self._place, f"download {key!r}"):
            content = pieces(self._client, self._bucket, key, limit)
            with os_errors(f"write {path}"):
                with temporary.open("xb") as file:
                    for piece in content:
                        file.write(piece)
                temporary.replace(path)

    def write(self, key: str, data: bytes, *, only_if_absent: bool = False) -> ObjectInfo:
        """Create or replace an object. Raises ``PreconditionFailedError`` if it exists and must not."""
        if only_if_absent:
            if self._preconditions() is not None:
                return self._put_if(key, data, {"If-None-Match": "*"}, f"create {key!r}", None)
            if self._etag(key) is not None:
                raise PreconditionFailedError(f"{key!r} exists already in {self._place}")
        with s3_errors(self._place, f"write {key!r}"):
            size = max(len(data), PART_SIZE)  # one part: the object's tag is then known at once
            result = self._client.put_object(self._bucket, key, io.BytesIO(data), len(data), part_size=size)
        return self._written(key, len(data), result)

    def replace(self, key: str, data: bytes, *, expected_etag: str) -> ObjectInfo:
        """Replace an object only if its tag is still ``expected_etag``; else ``PreconditionFailedError``."""
        honoured = self._preconditions()
        if honoured is not None:
            return self._put_if(key, data, honoured.if_match(expected_etag), f"replace {key!r}", expected_etag)
        if self._etag(key) != expected_etag:
            raise PreconditionFailedError(f"{key!r} in {self._place} changed meanwhile; read it again")
        return self.write(key, data)

    def upload(self, key: str, path: Path, *, only_if_absent: bool = False) -> ObjectInfo:
        """Create or replace an object from a file, in parts. Raises as ``write`` does.

        A file that must not replace anything goes in one request, whose condition the server checks; above 5 GiB, which
        no request holds, this looks before it uploads.
        """
        with os_errors(f"read {path}"):
            file = path.open("rb")
            size = path.stat().st_size
        with file:
            if only_if_absent:
                if size <= WRITE_LIMIT and self._preconditions() is not None:
                    return self._create_from(key, file, size)
                if self._etag(key) is not None:
                    raise PreconditionFailedError(f"{key!r} exists already in {self._place}")
            return self._upload(key, path, file, size)

    def _create_from(self, key: str, file: BinaryIO, size: int) -> ObjectInfo:
        what = f"create {key!r}"
        answer = self._conditional.put(key, file if size else b"", {"If-None-Match": "*"}, what, size)
        if not answer.etag or answer.date is None:
            return self.stat(key)
        return ObjectInfo(key, size, answer.etag, answer.date)

    def _upload(self, key: str, path: Path, file: BinaryIO, size: int) -> ObjectInfo:
        with s3_errors(self._place, f"upload {key!r}"), os_errors(f"read all of {path}"):
            result = self._client.put_object(self._bucket, key, file, size, part_size=PART_SIZE)
        return self._written(key, size, result)

    def move(self, source: str, target: str, *, expected_etag: str | None = None, only_if_absent: bool = False) -> None:
        """Copy on the server, then delete; repeating a move that was cut short completes it.

        With ``only_if_absent`` the copy goes through this machine: few servers know that condition of their own copies.
        With ``expected_etag`` the copy has that condition. The deletion has the copied tag for one where the server
        knows such conditions; elsewhere what a person puts under the same key just before the deletion is at risk.
        Raises ``StoreError`` above 5 GiB, which no server copies in one request.
        """
        what = f"move {source!r} to {target!r}"
        for _ in range(_MOVE_ATTEMPTS):
            try:
                before = self.stat(source)
            except ObjectNotFoundError:
                if self._etag(target) is None:
                    raise
                return
            if expected_etag not in {None, before.etag}:
                raise PreconditionFailedError(f"{source!r} in {self._place} changed meanwhile; read it again")
            if source == target:
                return
            if before.size > COPY_LIMIT:
                raise StoreError(
                    f"cannot {what} in {self._place}: {before.size} bytes are more than the 5 GiB a server copies in "
                    "one request, and copying in parts is not supported; remove it, or store it in smaller files"
                )
            copied = (
                self._copy_to_free_key(source, target, what, before.size)
                if only_if_absent
                else self._copy(source, target, what, expected_etag)
            )
            if copied and self._take_away(source, before.etag):  # else new bytes came in: copy those
                return
        raise StoreUnavailableError(f"cannot {what} in {self._place}: it keeps changing; try again when it has settled")

    def _copy(self, source: str, target: str, what: str, expected_etag: str | None) -> bool:
        """On the server; False where another writer moved or replaced it meanwhile, or it was removed."""
        try:
            with s3_errors(self._place, what):
                copied = CopySource(self._bucket, source, match_etag=self._copy_condition(expected_etag))
                self._client.copy_object(self._bucket, target, copied)
        except (ObjectNotFoundError, PreconditionFailedError):
            return False
        return True

    def _copy_to_free_key(self, source: str, target: str, what: str, size: int) -> bool:
        """As ``_copy``; raises ``PreconditionFailedError`` where another content lies at the target."""
        with os_errors(what), tempfile.TemporaryDirectory(prefix="lucir-") as folder:
            file = Path(folder) / "object"
            try:
                self.download(source, file, limit=size)
                try:
                    self.upload(target, file, only_if_absent=True)
                except PreconditionFailedError:
                    if not holds(self, target, file):
                        raise
            except (ObjectNotFoundError, ObjectTooLargeError):
                return False
        return True

    def _take_away(self, key: str, etag: str) -> bool:
        """Delete an object that is copied; False where it is another one by now."""
        honoured = self._preconditions()
        if honoured is None or not honoured.deletions:
            if self._etag(key) != etag:
                return False
            self.delete(key)
            return True
        try:
            self._conditional.delete(key, honoured.if_match(etag), f"delete {key!r}")
        except ObjectNotFoundError:
            logger.debug("deleted already", extra={"key": key})
        except PreconditionFailedError:
            return False
        return True

    def delete(self, key: str) -> None:
        """Remove one object; removing what is not there is not an error."""
        try:
            with s3_errors(self._place, f"delete {key!r}"):
                self._client.remove_object(self._bucket, key)
        except ObjectNotFoundError:
            logger.debug("deleted already", extra={"key": key})

    def listen(self, prefix: str, stop: threading.Event) -> Iterator[None]:
        """Yield after something below ``prefix`` changed: a hint, see ``model_store.notify``."""
        return listen(self._connect(self._listening_pool()), self._place, check_folder(prefix), stop)

    def _preconditions(self) -> Preconditions | None:
        with self._probing:
            if not self._probed:
                self._honoured = self._conditional.probe()
                self._probed = True
                if self._honoured is None:
                    logger.warning(
                        "the server does not honour preconditions: only one process may write to this bucket",
                        extra={"endpoint": self._place.endpoint, "bucket": self._bucket},
                    )
            return self._honoured

    def _copy_condition(self, expected_etag: str | None) -> str | None:
        """The tag that a copy is to insist on, in this server's spelling; None where none is wanted or honoured."""
        honoured = self._preconditions() if expected_etag is not None else None
        return None if honoured is None or expected_etag is None else honoured.if_match(expected_etag)["If-Match"]

    def _put_if(self, key: str, data: bytes, headers: dict[str, str], what: str, expected: str | None) -> ObjectInfo:
        """A conditional write. When its answer got lost, the object tells whether it was ours that won."""
        try:
            answer = self._conditional.put(key, data, headers, what)
        except StoreUnavailableError as error:
            try:
                there = self.read(key, limit=len(data))
            except ObjectTooLargeError:
                there = None
            except ObjectNotFoundError:
                raise error from None
            if there == data:
                return self.stat(key)
            if self._etag(key) != expected:  # Ceph says of some that lost only that they failed
                raise PreconditionFailedError(f"cannot {what} in {self._place}: another writer came first") from error
            raise
        if not answer.etag or answer.date is None:
            return self.stat(key)
        return ObjectInfo(key, len(data), answer.etag, answer.date)

    def _etag(self, key: str) -> str | None:
        try:
            return self.stat(key).etag
        except ObjectNotFoundError:
            return None

    def _written(self, key: str, size: int, result: ObjectWriteResult) -> ObjectInfo:
        """Describe what was written. After an upload in parts the server is asked: its answer may hold no tag, or a
        tag that the object does not have (rclone's).
        """
        date = written_at(result.http_headers)
        if not result.etag or date is None or size > PART_SIZE:
            return self.stat(key)
        return ObjectInfo(key, size, result.etag, date)
