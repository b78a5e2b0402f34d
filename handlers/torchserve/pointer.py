"""The pointer as a server knows it: read from the store now and then, kept on disk for a start without the store."""

import logging
import time
from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from model_store.local_files import write_whole
from model_store.manifest import Document, Pointer
from model_store.objects import StoreError
from model_store.versions import VersionStore

logger = logging.getLogger(__name__)

_LIMIT = 64 * 1024


class RememberedPointer(Document):
    """``run/pointer.json``: what the pointer of a store was when it was last read."""

    store: str
    pointer: Pointer


class KnownPointer:
    """``pointer`` is None while the store has none; ``known`` is False while nothing is known of it at all.

    The store is asked at most every ``interval`` seconds, for one small object. While it cannot be read, the pointer
    stays what it was: also across a restart, so that a server comes back with its local copies.
    """

    def __init__(
        self, versions: VersionStore, file: Path, interval: float = 0.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.pointer: Pointer | None = None
        self.known = False
        self._versions = versions
        self._file = file
        self._interval = interval
        self._clock = clock
        self._read_at: float | None = None
        self._problem = ""
        self._written: Pointer | None = None

    def refresh(self) -> str:
        """Look again if it is time to; return why the store's pointer could not be read, empty when it was."""
        present = self._clock()
        if self._read_at is not None and present - self._read_at < self._interval:
            return self._problem
        self._read_at = present
        self._problem = self._read()
        return self._problem

    def _read(self) -> str:
        try:
            pointer = self._versions.current()
        except StoreError as error:
            if not self.known:
                self._recall()
            return f"the pointer cannot be read: {error}"
        if pointer is None and self.pointer is not None:
            return f"the store has lost its pointer (is it mounted?): version {self.pointer.version} stays wanted"
        self.pointer, self.known = pointer, True
        if pointer is not None and pointer != self._written:
            self._remember(pointer)
        return ""

    def _recall(self) -> None:
        """What an earlier process of this data folder knew of the same store."""
        try:
            if self._file.stat().st_size > _LIMIT:
                return
            remembered = RememberedPointer.model_validate_json(self._file.read_bytes())
        except (OSError, ValidationError):  # none, or damaged: nothing is known
            return
        if remembered.store == self._versions.objects.url:
            self.pointer, self.known = remembered.pointer, True
            logger.warning("the store cannot be read: version %d was the last one wanted", remembered.pointer.version)

    def _remember(self, pointer: Pointer) -> None:
        """A disk that is full costs the comfort of a start without the store, nothing else."""
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            remembered = RememberedPointer(store=self._versions.objects.url, pointer=pointer)
            write_whole(self._file, remembered.model_dump_json(indent=2))
        except OSError as error:
            logger.warning("the pointer cannot be remembered in %s: %s", self._file, error)
        else:
            self._written = pointer
