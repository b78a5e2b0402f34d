"""Removing versions for good: the manifest first, so that no reader takes a half-removed version for one.

What is about to be removed is written down before (``versions/removed.json``), with the names of its files, so that a
removal that was cut short is completed later, by name: what somebody else put beside them is left and reported. The
same document is the record of what was removed, when and why.
"""

import logging
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from pydantic import Field

from model_store.documents import CorruptVersionError, VersionNotFoundError, encode, parse
from model_store.manifest import Document, StoredDocument, now
from model_store.objects import ObjectNotFoundError
from model_store.versions import CLAIM, DOCUMENT_LIMIT, MANIFEST, PREFIX, VersionStore, file_key

logger = logging.getLogger(__name__)

LOG = f"{PREFIX}removed.json"
KEPT = 1000
"""Removals that the record remembers."""
_REMEDY = "move it away: the record begins anew"


class Removal(Document):
    """One version: what it was, why it went, and the names of its files."""

    version: int = Field(ge=1)
    update_id: str
    kind: str
    reason: str
    removed_at: datetime
    size: int = Field(ge=0)
    files: tuple[str, ...]


class RemovalLog(StoredDocument):
    """``versions/removed.json``; ``pending`` are under way, ``removed`` is ordered by time."""

    pending: tuple[Removal, ...] = ()
    removed: tuple[Removal, ...] = ()


@dataclass
class Outcome:
    """What a run removed, what it left alone and why, and keys of others that it found beside removed files."""

    removed: list[Removal] = field(default_factory=list)
    left: dict[int, str] = field(default_factory=dict)
    foreign: list[str] = field(default_factory=list)


class VersionRemover:
    """Removes versions. Who may go is the caller's decision, with one exception: never what the pointer names."""

    def __init__(self, versions: VersionStore) -> None:
        self._versions = versions
        self._objects = versions.objects

    def log(self) -> RemovalLog:
        """The record. Raises ``CorruptVersionError`` when it was edited."""
        try:
            data = self._objects.read(LOG, limit=DOCUMENT_LIMIT)
        except ObjectNotFoundError:
            return RemovalLog()
        return parse(RemovalLog, data, f"{self._objects.url}/{LOG}", _REMEDY)

    def remove(self, wanted: Mapping[int, str]) -> Outcome:
        """Remove these versions (number -> reason), and complete what an earlier run began.

        Running it again after a kill completes it. Raises ``StoreError``.
        """
        outcome, log = Outcome(), self.log()
        # Begun by another run: of those that still have their manifest nothing is gone yet, and ``wanted`` decides.
        pending = {one.version: one for one in log.pending if not self._exists(one.version)}
        for number, reason in wanted.items():
            try:
                pending[number] = self._describe(number, reason)
            except VersionNotFoundError:
                continue  # somebody else was quicker
            except CorruptVersionError as error:
                outcome.left[number] = str(error)
        if not pending:
            if log.pending:
                self._write(RemovalLog(removed=log.removed))
            return outcome
        self._write(RemovalLog(pending=tuple(pending.values()), removed=log.removed))
        for removal in pending.values():
            if self._remove_manifest(removal):
                self._remove_files(removal.version, removal.files, outcome)
                outcome.removed.append(removal)
                logger.info("version removed", extra={"version": removal.version, "reason": removal.reason})
            else:
                outcome.left[removal.version] = "the pointer names it"
        self._write(RemovalLog(removed=(*log.removed, *outcome.removed)[-KEPT:]))
        return outcome

    def remove_unfinished(self, number: int, known: Collection[str], outcome: Outcome) -> None:
        """Remove files with these names below a number that never got its manifest. Does nothing when it has one."""
        if not self._exists(number):
            self._remove_files(number, sorted(known), outcome)
            logger.info("what an unfinished update left was removed", extra={"version": number})

    def _describe(self, number: int, reason: str) -> Removal:
        manifest = self._versions.manifest(number)
        return Removal(
            version=number,
            update_id=manifest.update_id,
            kind=manifest.kind,
            reason=reason,
            removed_at=now(),
            size=sum(file.size for file in manifest.files.values()),
            files=tuple(sorted(manifest.files)),
        )

    def _remove_manifest(self, removal: Removal) -> bool:
        """False when the pointer names the version, also when it came to do so while the manifest went.

        ``VersionStore.point_to`` looks for the manifest after it has moved the pointer, this looks at the pointer after
        the manifest is gone: of two at the same time at least one sees the other.
        """
        key = file_key(removal.version, MANIFEST)
        if self._is_pointed(removal.version):
            return False
        try:
            manifest = self._objects.read(key, limit=DOCUMENT_LIMIT)
        except ObjectNotFoundError:
            return True  # in an earlier run
        self._objects.delete(key)
        if self._is_pointed(removal.version):
            self._objects.write(key, manifest, only_if_absent=True)
            return False
        return True

    def _is_pointed(self, number: int) -> bool:
        pointer = self._versions.current()
        return pointer is not None and number in {pointer.version, pointer.previous}

    def _remove_files(self, number: int, names: Iterable[str], outcome: Outcome) -> None:
        """The claim last: with it, what is left is still known to be a version's."""
        for name in (*names, CLAIM):
            self._objects.delete(file_key(number, name))
        foreign = [info.key for info in self._objects.list(file_key(number, ""))]
        if foreign:
            outcome.foreign += foreign
            logger.warning("objects of others are left", extra={"version": number, "keys": foreign[:10]})

    def _exists(self, number: int) -> bool:
        try:
            self._objects.stat(file_key(number, MANIFEST))
        except ObjectNotFoundError:
            return False
        return True

    def _write(self, log: RemovalLog) -> None:
        self._objects.write(LOG, encode(log))
