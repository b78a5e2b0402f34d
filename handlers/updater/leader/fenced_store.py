"""The object store as an update sees it: nothing is written once another updater is active."""

from collections.abc import Callable, Iterator
from pathlib import Path

from model_store.objects import READ_LIMIT, ObjectInfo, ObjectStore


class FencedStore:
    """Reads go through; before every change ``hold`` is called, which raises when it must not be made."""

    def __init__(self, objects: ObjectStore, hold: Callable[[], None]) -> None:
        self._objects = objects
        self._hold = hold

    @property
    def url(self) -> str:
        """Where this is, without secrets."""
        return self._objects.url

    @property
    def conditional_writes(self) -> bool:
        """As the store behind it."""
        return self._objects.conditional_writes

    def check(self) -> None:
        """As the store behind it."""
        self._objects.check()

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Every object whose key starts with ``prefix``."""
        return self._objects.list(prefix)

    def folders(self, prefix: str) -> Iterator[str]:
        """Names of the folders directly below ``prefix``."""
        return self._objects.folders(prefix)

    def stat(self, key: str) -> ObjectInfo:
        """Describe one object."""
        return self._objects.stat(key)

    def read(self, key: str, *, limit: int = READ_LIMIT) -> bytes:
        """The whole object."""
        return self._objects.read(key, limit=limit)

    def download(self, key: str, path: Path, *, limit: int) -> None:
        """Write the object to ``path``."""
        self._objects.download(key, path, limit=limit)

    def write(self, key: str, data: bytes, *, only_if_absent: bool = False) -> ObjectInfo:
        """Create or replace an object, if this process may."""
        self._hold()
        return self._objects.write(key, data, only_if_absent=only_if_absent)

    def replace(self, key: str, data: bytes, *, expected_etag: str) -> ObjectInfo:
        """Replace an object only if its tag is still ``expected_etag``, if this process may."""
        self._hold()
        return self._objects.replace(key, data, expected_etag=expected_etag)

    def upload(self, key: str, path: Path) -> ObjectInfo:
        """Create or replace an object from a file, if this process may."""
        self._hold()
        return self._objects.upload(key, path)

    def move(self, source: str, target: str) -> None:
        """Give an object another key, if this process may."""
        self._hold()
        self._objects.move(source, target)

    def delete(self, key: str) -> None:
        """Remove one object, if this process may."""
        self._hold()
        self._objects.delete(key)
