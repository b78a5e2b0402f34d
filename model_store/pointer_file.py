"""``versions/current.json``: the one object that says what is served, and the only one whose replacement commits.

Every change is a replacement of what was found, so that of two writers one wins. It carries the highest epoch of the
updaters that wrote it, and none of a lower epoch writes it again: an updater that takes over writes its own epoch
first, and whatever a silent predecessor still sends fails.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from model_store.documents import CorruptVersionError, encode, parse
from model_store.layout import DOCUMENT_LIMIT, PREFIX
from model_store.manifest import Pointer
from model_store.objects import ObjectNotFoundError, ObjectStore, PreconditionFailedError

logger = logging.getLogger(__name__)

POINTER = f"{PREFIX}current.json"
_ATTEMPTS = 5
"""Others may replace the pointer between a look at it and a change so often."""


@dataclass(frozen=True)
class Found:
    """The pointer as it was found; without a tag there is none, without a document it is damaged."""

    tag: str | None
    pointer: Pointer | None


class PointerFile:
    """The pointer of a store, as a writer of this epoch (None: a person) may change it."""

    def __init__(self, objects: ObjectStore, epoch: Callable[[], int | None]) -> None:
        self._objects = objects
        self._epoch = epoch
        self._name = f"{objects.url}/{POINTER}"

    def read(self) -> Pointer | None:
        """The pointer; None where there is none. Raises ``CorruptVersionError``."""
        try:
            data = self._objects.read(POINTER, limit=DOCUMENT_LIMIT)
        except ObjectNotFoundError:
            return None
        return parse(Pointer, data, self._name, "choose a version again: lucir rollback VERSION")

    def look(self) -> Found:
        """The pointer and its tag, the tag first: a change in between makes a replacement fail."""
        try:
            tag = self._objects.stat(POINTER).etag
        except ObjectNotFoundError:
            return Found(None, None)
        try:
            return Found(tag, self.read())
        except CorruptVersionError as error:
            logger.warning("the pointer is damaged and is replaced", extra={"error": str(error)})
            return Found(tag, None)

    def replace(self, found: Found, pointer: Pointer) -> Pointer:
        """Write ``pointer`` in the present epoch, if what was found is still there; return what was written.

        Raises ``PreconditionFailedError``.
        """
        before = found.pointer.epoch if found.pointer is not None else None
        epoch = self._epoch()
        if epoch is not None and before is not None and before > epoch:
            raise PreconditionFailedError(
                f"{self._name} was written in epoch {before}, after this updater's ({epoch}): another updater has "
                "taken over"
            )
        pointer = pointer.model_copy(update={"epoch": before if epoch is None else epoch})
        if pointer == found.pointer:
            return pointer
        if found.tag is None:
            self._objects.write(POINTER, encode(pointer), only_if_absent=True)
        else:
            self._objects.replace(POINTER, encode(pointer), expected_etag=found.tag)
        return pointer

    def change(self, change: Callable[[Pointer], Pointer]) -> Pointer | None:
        """Change what the pointer says, again where others were quicker; None where there is no (whole) pointer.

        Raises ``PreconditionFailedError`` when others are quicker again and again, or of a later epoch.
        """
        for attempt in range(_ATTEMPTS):
            found = self.look()
            if found.pointer is None:
                return None
            try:
                return self.replace(found, change(found.pointer))
            except PreconditionFailedError:
                if attempt == _ATTEMPTS - 1:
                    raise
        raise AssertionError("the last attempt returns or raises")
