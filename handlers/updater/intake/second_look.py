"""A second look at rejected files that change: somebody was still writing them.

A copy that pauses for longer than ``settle_seconds`` is judged as it is then, cut off, and moved to ``rejected/``. In a
folder the writer goes on in the moved file, where nothing else would ever look: at rest again, it goes back to
``incoming/``. Where the file is sent once more under its key (in a bucket the only way), it lies there already, perhaps
alone in its folder, and must not wait for others: they have been learnt. The rejected copy then stays in ``rejected/``.
"""

import hashlib
import logging
import math
import time
from collections import defaultdict
from collections.abc import Callable, Collection
from dataclasses import dataclass
from itertools import islice
from typing import Final

from handlers.bucket.layout import INCOMING, READY_MARKER, REASON_SUFFIX, split_incoming
from handlers.bucket.update_documents import Entry, Plan
from handlers.bucket.updates import UpdateRecords
from handlers.updater.intake.listing import marks
from model_store.directory.tree import lasting
from model_store.manifest import now
from model_store.objects import (
    READ_LIMIT,
    ObjectInfo,
    ObjectNotFoundError,
    ObjectStore,
    PreconditionFailedError,
    StoreError,
    StoreUnavailableError,
)

logger = logging.getLogger(__name__)

WATCHED_SECONDS: Final = 24 * 3600.0
LOOK_SECONDS: Final = 1.0
REST: Final = 20.0
"""After a look, as a multiple of the time it took: a thousand watched files must not keep a core busy."""
LONGEST_REST: Final = 60.0
"""In seconds: a machine that slept in the middle of a look has not been busy."""
MOST_FILES: Final = 1000
"""Watched at a time, the latest rejected ones; and listed in a folder: one that holds more waits for nobody."""
MOST_UPDATES: Final = 20
"""Looked through after a start."""


@dataclass
class _Rest:
    seen: frozenset[tuple[str, str]]
    since: float


class SecondLook:
    """Used by the main thread only, which may write. Times come from ``clock``, in seconds."""

    def __init__(
        self,
        objects: ObjectStore,
        records: UpdateRecords,
        settle_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._objects = objects
        self._records = records
        self._settle = max(settle_seconds, LOOK_SECONDS)
        self._clock = clock
        self._watched: dict[str, tuple[Entry, float]] = {}
        """By where they lie: what was judged, and until when it is watched."""
        self._resting: dict[str, _Rest] = {}
        self._same: dict[str, str] = {}
        """Tags of files whose content is as it was judged, where those are others."""
        self._restored = False
        self._due = 0.0

    def watch(self, plan: Plan, seconds: float = WATCHED_SECONDS) -> None:
        """From now on, for so long, look at what this update rejected."""
        for entry in plan.of_role("rejected"):
            if entry.class_name is not None:
                self._watched[entry.target] = entry, self._clock() + seconds
        for target in list(self._watched)[:-MOST_FILES]:
            del self._watched[target]

    def restore(self) -> None:
        """Once: what the updates of the last day rejected, oldest first. Raises ``StoreError``."""
        if self._restored:
            return
        for update_id in self._records.ids()[-MOST_UPDATES:]:
            done = self._records.done(update_id)
            left = WATCHED_SECONDS - (now() - done.finished_at).total_seconds() if done is not None else 0.0
            if done is not None and done.images.get("rejected") and left > 0:
                plan = self._records.plan(update_id)
                if plan is not None:
                    self.watch(plan, left)
        self._restored = True

    def forget(self) -> None:
        """Another updater is active: what it rejects is in the store, when this one is active again."""
        self._watched, self._resting, self._same, self._restored = {}, {}, {}, False

    def look(self, short: Collection[str], known: Collection[str]) -> list[str]:
        """Let what has changed and come to rest be taken up; return its keys. Raises ``StoreUnavailableError``.

        short: folders that wait for more images. known: classes of the served version.
        """
        if (moment := self._clock()) < self._due:
            return []
        self._due = moment + LOOK_SECONDS
        folders: dict[str, list[Entry]] = defaultdict(list)
        for target, (entry, until) in list(self._watched.items()):
            if moment > until:
                del self._watched[target]
            else:
                folders[split_incoming(entry.key)[0]].append(entry)
        taken = []
        for folder, entries in folders.items():
            try:
                taken += self._look_at(folder, entries, folder in short, known)
            except StoreUnavailableError:
                raise
            except (ObjectNotFoundError, PreconditionFailedError):
                continue  # somebody was there between two calls: looked at again in a moment
            except StoreError as error:
                logger.warning("rejected files of %s are not looked at again: %s", folder, error)
                for entry in entries:
                    self._watched.pop(entry.target, None)
        ended = self._clock()
        self._due = max(self._due, ended + min(REST * (ended - moment), LONGEST_REST))
        return taken

    def _look_at(self, folder: str, entries: list[Entry], short: bool, known: Collection[str]) -> list[str]:
        changed = self._changed(entries)
        present: dict[str, ObjectInfo] = {}
        if changed or short:
            listed = self._objects.list(f"{INCOMING}{folder}/")
            present = {info.key: info for info in islice(listed, MOST_FILES)}
        sent_again = [entry for entry in entries if entry.key in present]
        if not (changed or (short and sent_again)) or not self._rests(folder, [*present.values(), *changed.values()]):
            return []
        back = [entry for entry in entries if entry.target in changed and entry.key not in present]
        key = f"{INCOMING}{folder}/{READY_MARKER}"
        marker = present.pop(key, None)
        images = len({*present, *(entry.key for entry in back)})
        oldest = min((info.modified for info in present.values()), default=math.inf)
        is_marked = marker is not None and marks(marker.modified, oldest)
        if images >= (1 if entries[0].class_name in known else 2) and not is_marked:
            self._objects.write(key, b"")
        elif not back:
            return []
        for entry in back:
            self._give_back(entry, changed[entry.target])
        for entry in sent_again:
            self._watched.pop(entry.target, None)
        return [entry.key for entry in (*back, *sent_again)]

    def _changed(self, entries: list[Entry]) -> dict[str, ObjectInfo]:
        """Those in ``rejected/`` that are not as they were judged. In a bucket no object changes where it lies."""
        found: dict[str, ObjectInfo] = {}
        if not self._objects.url.startswith("file:"):
            return found
        for entry in entries:
            try:
                info = self._objects.stat(entry.target)
            except ObjectNotFoundError:  # a person took it, or it has gone back and this process was cut short at that
                self._objects.delete(entry.target + REASON_SUFFIX)
                del self._watched[entry.target]
                continue
            if not self._is_same(entry, info):
                found[entry.target] = info
        return found

    def _is_same(self, entry: Entry, info: ObjectInfo) -> bool:
        """By its tag; where that is another, as in a copy of the whole store, by its content."""
        if lasting(info.etag) in {lasting(entry.etag), self._same.get(entry.target)}:
            return True
        if info.size != entry.size or info.size > READ_LIMIT:
            return False
        if hashlib.sha256(self._objects.read(entry.target)).hexdigest() != entry.sha256:
            return False
        self._same[entry.target] = lasting(info.etag)
        return True

    def _rests(self, folder: str, objects: list[ObjectInfo]) -> bool:
        """Whether nothing in the folder and of its rejected files changed for as long as a drop must not."""
        seen = frozenset((info.key, info.etag) for info in objects)
        rest = self._resting.get(folder)
        if rest is None or rest.seen != seen:
            self._resting[folder] = _Rest(seen, self._clock())
            return False
        return self._clock() - rest.since >= self._settle

    def _give_back(self, entry: Entry, info: ObjectInfo) -> None:
        try:
            self._objects.move(entry.target, entry.key, expected_etag=info.etag)
        except (ObjectNotFoundError, PreconditionFailedError):
            return  # it changes again, or something has come to its place: looked at again in a moment
        del self._watched[entry.target]
        self._objects.delete(entry.target + REASON_SUFFIX)
        logger.info("a rejected file was written to its end and is looked at again", extra={"key": entry.key})
