"""What the project asks of an object store, and how it fails.

Two implementations: ``model_store.directory`` and ``model_store.s3``. Keys are ``/``-separated, relative, without ``.``
and ``..`` segments. Nothing here deletes by prefix: callers name each object they remove.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

READ_LIMIT = 64 * 1024 * 1024


class StoreError(Exception):
    """The store did not do what it was asked; the message names the object and the remedy."""


class StoreUnavailableError(StoreError):
    """The store cannot be reached now; the same call may succeed later."""


class InvalidKeyError(StoreError):
    """No object can have this key, here or anywhere; the message says what is wrong with it."""


class ObjectNotFoundError(StoreError):
    """No object has this key."""


class ObjectTooLargeError(StoreError):
    """The object is larger than the caller allows."""


class PreconditionFailedError(StoreError):
    """A conditional write failed: the object exists already, or is not the expected one any more."""


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One object: its size in bytes, an opaque tag that changes with its content, seconds since the epoch."""

    key: str
    size: int
    etag: str
    modified: float


class ObjectStore(Protocol):
    """The operations used. Every failure is a ``StoreError``; no method retries for longer than its timeout."""

    @property
    def url(self) -> str:
        """Where this is, without secrets: ``file:///path`` or ``s3://bucket``."""

    @property
    def conditional_writes(self) -> bool:
        """Whether ``write(only_if_absent)`` and ``replace`` are atomic against other writers."""

    @property
    def exact_moves(self) -> bool:
        """Whether a move never takes away what somebody put under its key meanwhile."""

    def check(self) -> None:
        """Raise ``StoreError``, with the remedy, when the store cannot be read and written."""

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Every object whose key starts with ``prefix``, in key order, lazily."""

    def folders(self, prefix: str) -> Iterator[str]:
        """Names of the folders directly below ``prefix`` (which ends in ``/``), empty ones where they exist."""

    def stat(self, key: str) -> ObjectInfo:
        """Describe one object. Raises ``ObjectNotFoundError``."""

    def read(self, key: str, *, limit: int = READ_LIMIT) -> bytes:
        """The whole object. Raises ``ObjectNotFoundError``, or ``ObjectTooLargeError`` above ``limit`` bytes."""

    def download(self, key: str, path: Path, *, limit: int) -> None:
        """Write the object to ``path`` (replaced atomically). Raises as ``read`` does."""

    def write(self, key: str, data: bytes, *, only_if_absent: bool = False) -> ObjectInfo:
        """Create or replace an object durably. Raises ``PreconditionFailedError`` if it exists and must not."""

    def replace(self, key: str, data: bytes, *, expected_etag: str) -> ObjectInfo:
        """Replace an object only if its tag is still ``expected_etag``; else ``PreconditionFailedError``."""

    def upload(self, key: str, path: Path, *, only_if_absent: bool = False) -> ObjectInfo:
        """Create or replace an object from a file, without reading it into memory. Raises as ``write`` does."""

    def move(self, source: str, target: str, *, expected_etag: str | None = None, only_if_absent: bool = False) -> None:
        """Give an object another key. Repeating a move that a crash cut short completes it.

        With ``expected_etag`` only that content is moved, never another that came under the same key meanwhile; with
        ``only_if_absent`` it replaces nothing but the same content; else ``PreconditionFailedError``, and the source
        stays.
        """

    def delete(self, key: str) -> None:
        """Remove one object; removing what is not there is not an error."""


def find(objects: ObjectStore, key: str) -> ObjectInfo | None:
    """The object as it is; None where there is none. Raises ``StoreError`` when the store cannot be asked."""
    try:
        return objects.stat(key)
    except ObjectNotFoundError:
        return None


def tag_of(objects: ObjectStore, key: str) -> str | None:
    """Its tag. As ``find``."""
    info = find(objects, key)
    return None if info is None else info.etag


def exists(objects: ObjectStore, key: str) -> bool:
    """Whether there is such an object. As ``find``."""
    return find(objects, key) is not None


def check_size(key: str, size: int, limit: int) -> None:
    """Raise ``ObjectTooLargeError`` above ``limit`` bytes."""
    if size > limit:
        raise ObjectTooLargeError(f"{key!r} holds {size} bytes, more than the {limit} allowed here")
