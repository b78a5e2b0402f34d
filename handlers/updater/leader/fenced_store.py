"""The object store as an update sees it: nothing that it writes counts once another updater is active.

``hold`` asks whether this process may write. A process that sleeps between that question and its write may wake when
another has long finished the work, so the question only spares useless writes. What keeps a late write harmless is its
form; each is one of these:

- it creates what is not there (intents, plans, ends of updates, claims, files of a first attempt);
- it replaces what this process saw before it asked (the pointer, claims, counts, lists);
- it goes to a place that nobody else writes to (a later attempt at a version, ``model_store.publication``);
- it moves one content (``expected_etag``), or what a seal has decided on;
- it removes what is decided to go and never comes again under the same key.

Whose an update is, and that it was given up, is such a replacement too (``workflow.ownership``): originals move to the
archive only after a step was begun that nobody of a later epoch has taken over. One thing is not promised in a bucket:
all ``_READY`` are alike there, so that a late move may take one that came meanwhile; its folder then waits as unmarked.

A store that does not honour conditions cannot promise that: there is one updater by declaration, and one that slept
through its own replacement does harm.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

from model_store.layout import is_aside
from model_store.objects import READ_LIMIT, ObjectInfo, ObjectStore, tag_of
from model_store.unlistable import Unlistable, list_everything


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

    @property
    def exact_moves(self) -> bool:
        """As the store behind it."""
        return self._objects.exact_moves

    def check(self) -> None:
        """As the store behind it."""
        self._objects.check()

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Every object whose key starts with ``prefix``."""
        return self._objects.list(prefix)

    def list_everything(self, prefix: str) -> Iterator[ObjectInfo | Unlistable]:
        """Every object whose key starts with ``prefix``, and what else lies there."""
        return list_everything(self._objects, prefix)

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
        """Create or replace an object, if this process may and nobody else has written it meanwhile.

        Raises ``PreconditionFailedError`` where somebody has.
        """
        if only_if_absent or not self._objects.conditional_writes:
            self._hold()
            return self._objects.write(key, data, only_if_absent=only_if_absent)
        tag = tag_of(self._objects, key)  # before the lease is asked for: what a successor writes, it writes after that
        self._hold()
        if tag is None:
            return self._objects.write(key, data, only_if_absent=True)
        return self._objects.replace(key, data, expected_etag=tag)

    def replace(self, key: str, data: bytes, *, expected_etag: str) -> ObjectInfo:
        """Replace an object only if its tag is still ``expected_etag``, if this process may."""
        self._hold()
        return self._objects.replace(key, data, expected_etag=expected_etag)

    def upload(self, key: str, path: Path, *, only_if_absent: bool = False) -> ObjectInfo:
        """Create an object from a file, if this process may. One that may be replaced is nobody else's to write."""
        self._hold()
        return self._objects.upload(key, path, only_if_absent=only_if_absent)

    def move(self, source: str, target: str, *, expected_etag: str | None = None, only_if_absent: bool = False) -> None:
        """Give an object another key, if this process may."""
        self._hold()
        self._objects.move(source, target, expected_etag=expected_etag, only_if_absent=only_if_absent)

    def delete(self, key: str) -> None:
        """Remove one object, if this process may. What is removed must never be written again under the same key.

        What an attempt at a version has put aside anybody may remove who has no use for it: so an updater that wakes up
        late takes back what it wrote in the moment in which it fell asleep.
        """
        if not is_aside(key):
            self._hold()
        self._objects.delete(key)
