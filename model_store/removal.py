"""Removing versions for good: the manifest first, so that no reader takes a half-removed version for one.

The decision is one replacement of the pointer, which lists what goes (``removing``): from then on nobody can point
there, and nobody takes the decision back. So a removal may be completed by anybody, and an updater that was silent in
the middle of one and goes on late deletes nothing that is still wanted. Before that, what goes is written down
(``versions/removed.json``) with the names of its files, for they are removed by name: what somebody else put beside
them is left and reported. The same document is the record of what was removed, when and why.
"""

import logging
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from model_store.documents import (
    Claim,
    CorruptVersionError,
    Removal,
    RemovalLog,
    VersionNotFoundError,
    encode,
    parse,
)
from model_store.layout import ATTEMPT_PREFIX, CLAIM, DOCUMENT_LIMIT, MANIFEST, REMOVED, file_key
from model_store.manifest import Manifest, Pointer, now
from model_store.objects import ObjectNotFoundError
from model_store.versions import VersionStore

logger = logging.getLogger(__name__)

KEPT = 1000
"""Removals that the record remembers."""
_POINTED = "the pointer names it"


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

    def remove(self, wanted: Mapping[int, str]) -> Outcome:
        """Remove these versions (number -> reason), and complete what an earlier run decided.

        Running it again after a kill completes it. Raises ``StoreError``.
        """
        outcome, log = Outcome(), self._versions.removals()
        if not wanted and not log.pending:
            return outcome
        pending = self._pending(wanted, log, self._versions.current(), outcome)
        if pending:
            known = {one.version: one for one in log.pending}
            log = log.model_copy(
                update={"pending": tuple((known | pending).values()), "highest": max(log.highest, *pending)}
            )
            self._write(log)
        decided = self._versions.decide_removal(pending)
        # Before the first version is served no pointer can say it: then what was written down is the decision.
        removing = decided.removing if decided is not None else pending
        for number, removal in pending.items():
            if number in removing:
                self._remove_files(number, (MANIFEST, *removal.files), outcome)
                outcome.removed.append(removal)
                logger.info("version removed", extra={"version": number, "reason": removal.reason})
            else:
                outcome.left[number] = _POINTED
        self._versions.end_removal({*removing} - {*outcome.left})
        # Of those that an earlier run wrote down: gone whole already, or never decided on.
        before = [
            one for one in log.pending if one.version not in pending and not self._versions.is_complete(one.version)
        ]
        removed = (*log.removed, *before, *outcome.removed)[-KEPT:]
        self._write(log.model_copy(update={"pending": (), "removed": removed}))
        return outcome

    def _pending(
        self, wanted: Mapping[int, str], log: RemovalLog, pointer: Pointer | None, outcome: Outcome
    ) -> dict[int, Removal]:
        """What is to go: wanted now and not served, or decided by an earlier run; without what is gone already."""
        if pointer is None:
            decided, served = (
                tuple(one.version for one in log.pending if not self._versions.is_complete(one.version)),
                set[int | None](),
            )
        else:
            served = {pointer.version, pointer.previous}
            decided = pointer.removing
        pending = {one.version: one for one in log.pending if one.version in decided}
        for number in (*decided, *wanted):
            if number in served:
                outcome.left[number] = _POINTED
            elif number not in pending:
                try:
                    manifest = self._find(number)
                except CorruptVersionError as error:
                    outcome.left[number] = str(error)
                    continue
                if manifest is not None:
                    pending[number] = self._describe(manifest, wanted.get(number, "its removal had been decided"))
        return pending

    def remove_unfinished(self, number: int, known: Collection[str], outcome: Outcome) -> None:
        """Remove files with these names below a number that never got its manifest. Does nothing when it has one."""
        if not self._versions.is_complete(number):
            self._remember(number)
            self._remove_files(number, (MANIFEST, *sorted(known)), outcome)
            logger.info("what an unfinished update left was removed", extra={"version": number})

    def _find(self, number: int) -> Manifest | None:
        """The manifest of a version, or after that went, what its claim says; None where nothing is left.

        Raises ``CorruptVersionError``.
        """
        try:
            return self._versions.manifest(number)
        except VersionNotFoundError:
            key = file_key(number, CLAIM)
        try:
            return parse(Claim, self._objects.read(key, limit=DOCUMENT_LIMIT), key, "move it away").manifest
        except ObjectNotFoundError:
            return None

    @staticmethod
    def _describe(manifest: Manifest, reason: str) -> Removal:
        return Removal(
            version=manifest.version,
            update_id=manifest.update_id,
            kind=manifest.kind,
            reason=reason,
            removed_at=now(),
            size=sum(file.size for file in manifest.files.values()),
            files=tuple(sorted(manifest.files)),
        )

    def _remove_files(self, number: int, names: Iterable[str], outcome: Outcome) -> None:
        """The claim last: with it, what is left is still known to be a version's. What attempts have put aside first:
        then an attempt that slept has nothing more to put in place.
        """
        aside = [info.key for info in self._objects.list(file_key(number, ATTEMPT_PREFIX))]
        for key in (*aside, *(file_key(number, name) for name in names), file_key(number, CLAIM)):
            self._objects.delete(key)
        foreign = [info.key for info in self._objects.list(file_key(number, ""))]
        if foreign:
            outcome.foreign += foreign
            logger.warning("objects of others are left", extra={"version": number, "keys": foreign[:10]})

    def _remember(self, number: int) -> None:
        """That the number was used, before what tells so is gone."""
        log = self._versions.removals()
        if number > max(log.numbers):
            self._write(log.model_copy(update={"highest": number}))

    def _write(self, log: RemovalLog) -> None:
        self._objects.write(REMOVED, encode(log))
