"""A store of objects in memory, and the way to it: each call may be late, lost, doubled, or the process's last."""

import hashlib
from bisect import bisect_left, insort
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from model_store.directory.tree import lasting
from model_store.keys import check_folder, check_key, check_prefix
from model_store.objects import (
    READ_LIMIT,
    ObjectInfo,
    ObjectNotFoundError,
    ObjectTooLargeError,
    PreconditionFailedError,
    StoreError,
    StoreUnavailableError,
)
from tools.simulation.scheduler import Process, Scheduler

LATE = 0.05
"""Longest answer, in seconds."""
STALE = 1.5
"""How old a listing may be, in seconds, where listings may be old."""


DECIDING = 4.0
"""How much likelier a pause is at a write with a condition than elsewhere: that is what fences are made of."""

EVENTS = ("lost", "unanswered", "doubled", "crash before", "crash after", "pause before", "pause after")
"""What may befall a call."""


@dataclass(frozen=True)
class Faults:
    """How likely each is at a call, and what this store is like."""

    lost: float = 0.0
    """The request or its answer; by halves."""
    doubled: float = 0.0
    crash: float = 0.0
    """Before the call, and after it."""
    pause: float = 0.0
    """As ``crash``."""
    conditional: bool = True
    stale_listings: bool = False
    atomic_moves: bool = True
    """As in a folder; else a move is a copy and a deletion, between which much may happen."""
    conditional_deletions: bool = False
    """Whether that deletion spares what came meanwhile."""
    frozen_clock: bool = False
    """Whether a paused process learns nothing of the time that has passed, as in a virtual machine."""

    @cached_property
    def plain(self) -> tuple[float, tuple[float, ...]]:
        """That something befalls a call, and the weights of the events in their order."""
        return self._likelihoods(1.0)

    @cached_property
    def deciding(self) -> tuple[float, tuple[float, ...]]:
        """The same of a write with a condition."""
        return self._likelihoods(DECIDING)

    def _likelihoods(self, pauses: float) -> tuple[float, tuple[float, ...]]:
        pause = self.pause * pauses if self.conditional else 0.0
        weights = (self.lost / 2, self.lost / 2, self.doubled, self.crash, self.crash, pause, pause)
        return sum(weights), weights


class Bucket:
    """The objects: key -> (content, what is told of it). ``changed`` hears of every key that is written or removed.

    folder: whether they are files, whose tags tell when each was written, and after the last dash when it was renamed.
    """

    def __init__(self, scheduler: Scheduler, *, folder: bool = False, name: str = "simulated") -> None:
        self.name = name
        self.objects: dict[str, tuple[bytes, ObjectInfo]] = {}
        self.changed: Callable[[str], None] = lambda _: None
        self.ahead = 0.0
        """Seconds by which the clock that tells when an object came is ahead."""
        self.away_until = 0.0
        """When it answers again."""
        self.refused: set[str] = set()
        """Keys that nobody may read or move, for now."""
        self.folder = folder
        self._writes = 0
        self._scheduler = scheduler
        self._keys: list[str] = []
        """Of the objects, sorted: most calls are listings of a few of them."""
        self._log: list[tuple[float, str, tuple[bytes, ObjectInfo] | None]] = []

    def put(self, key: str, data: bytes, written: str = "") -> ObjectInfo:
        """Write. The tag is that of the content, as on S3; in a folder that of the file ``written`` before, or now."""
        self._writes += 1
        before = self.objects.get(key)
        self._log.append((self._scheduler.now, key, before))
        if before is None:
            insort(self._keys, key)
        if self.folder:
            tag = f"{written or self._writes}-{self._writes}"
        else:
            tag = hashlib.blake2b(data, digest_size=8).hexdigest()
        info = ObjectInfo(key, len(data), tag, self._scheduler.now + self.ahead)
        self.objects[key] = (data, info)
        self.changed(key)
        return info

    def remove(self, key: str) -> None:
        """Remove what is there."""
        if key in self.objects:
            self._log.append((self._scheduler.now, key, self.objects.pop(key)))
            del self._keys[bisect_left(self._keys, key)]
            self.changed(key)

    def info(self, key: str) -> ObjectInfo:
        """Describe an object. Raises ``ObjectNotFoundError``."""
        if key not in self.objects:
            raise ObjectNotFoundError(f"there is no {key!r}")
        return self.objects[key][1]

    def keys(self, prefix: str) -> list[str]:
        """Those that begin with it, sorted. No key holds the last of all characters."""
        return self._keys[bisect_left(self._keys, prefix) : bisect_left(self._keys, f"{prefix}\U0010ffff")]

    def listing(self, prefix: str, age: float) -> list[ObjectInfo]:
        """What is, or was so many seconds ago, below a prefix."""
        if not age:
            return [self.objects[key][1] for key in self.keys(prefix)]
        found = {key: self.objects[key][1] for key in self.keys(prefix)}
        for moment, key, before in reversed(self._log):
            if moment < self._scheduler.now - age:
                break
            if before is None:
                found.pop(key, None)
            elif key.startswith(prefix):
                found[key] = before[1]
        return [found[key] for key in sorted(found)]


class SimulatedStore:
    """The store as one process sees it (``model_store.objects``). ``interrupt`` may end or pause the process."""

    def __init__(
        self,
        bucket: Bucket,
        scheduler: Scheduler,
        process: Process,
        faults: Callable[[], Faults],
        interrupt: Callable[[Process, str], None],
    ) -> None:
        self._bucket = bucket
        self._scheduler = scheduler
        self._process = process
        self._faults = faults
        self._interrupt = interrupt

    @property
    def url(self) -> str:
        """As a server's, or a folder's."""
        return f"file:///{self._bucket.name}" if self._bucket.folder else f"s3://{self._bucket.name}"

    @property
    def conditional_writes(self) -> bool:
        """Whether preconditions are honoured here; else they are looked at before."""
        return self._faults().conditional

    @property
    def exact_moves(self) -> bool:
        """Whether they spare what came meanwhile."""
        return self._faults().atomic_moves or self._faults().conditional_deletions

    def check(self) -> None:
        """Nothing can be wrong."""

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """As ``model_store.objects`` says; old where listings may be."""
        check_prefix(prefix)
        stale = self._faults().stale_listings and self._scheduler.random.random() < 0.3
        age = self._scheduler.random.uniform(0, STALE) if stale else 0.0
        return iter(self._call(lambda: self._bucket.listing(prefix, age)))

    def folders(self, prefix: str) -> Iterator[str]:
        """As ``model_store.objects`` says; old where listings may be."""
        start = len(check_folder(prefix))
        names = {info.key[start:].partition("/")[0] for info in self.list(prefix) if "/" in info.key[start:]}
        return iter(sorted(names))

    def stat(self, key: str) -> ObjectInfo:
        """Describe one object."""
        return self._call(lambda: self._bucket.info(check_key(key)))

    def read(self, key: str, *, limit: int = READ_LIMIT) -> bytes:
        """The whole object."""

        def get() -> bytes:
            self._check(key)
            if self._bucket.info(check_key(key)).size > limit:
                raise ObjectTooLargeError(f"{key!r} is larger than {limit} bytes")
            return self._bucket.objects[key][0]

        return self._call(get)

    def download(self, key: str, path: Path, *, limit: int) -> None:
        """Write the object to ``path``."""
        data = self.read(key, limit=limit)
        partial = path.with_name(f".{path.name}.partial")
        partial.write_bytes(data)
        partial.replace(path)

    def write(self, key: str, data: bytes, *, only_if_absent: bool = False) -> ObjectInfo:
        """Create or replace an object."""
        if only_if_absent:
            return self._conditional(key, data, None)
        return self._call(lambda: self._bucket.put(check_key(key), data))

    def replace(self, key: str, data: bytes, *, expected_etag: str) -> ObjectInfo:
        """Replace an object if it is still the one with this tag."""
        return self._conditional(key, data, expected_etag)

    def upload(self, key: str, path: Path, *, only_if_absent: bool = False) -> ObjectInfo:
        """Create or replace an object from a file."""
        return self.write(key, path.read_bytes(), only_if_absent=only_if_absent)

    def move(self, source: str, target: str, *, expected_etag: str | None = None, only_if_absent: bool = False) -> None:
        """Give an object another key: at once, or as a copy and a deletion."""

        def copy() -> str | None:
            if only_if_absent:
                self._check_free(source, target)
            return self._copy(source, target, expected_etag)

        if self._faults().atomic_moves:
            self._call(lambda: (copy(), self._bucket.remove(source)))
            return
        copied = self._call(copy)
        if source in self._bucket.objects:
            self._call(lambda: self._take_away(source, copied))

    def delete(self, key: str) -> None:
        """Remove one object."""
        self._call(lambda: self._bucket.remove(check_key(key)))

    def _take_away(self, key: str, copied: str | None) -> None:
        there = self._bucket.objects.get(key)
        if self._faults().conditional_deletions and there is not None and there[1].etag != copied:
            raise PreconditionFailedError(f"{key!r} changed meanwhile")
        self._bucket.remove(key)

    def _check_free(self, source: str, target: str) -> None:
        """Nothing but the same content lies there."""
        there, moved = self._bucket.objects.get(target), self._bucket.objects.get(source)
        if there is not None and moved is not None and there[0] != moved[0]:
            raise PreconditionFailedError(f"{target!r} exists already")

    def _copy(self, source: str, target: str, expected_etag: str | None) -> str | None:
        """The tag of what was copied; None where it had been before."""
        if source not in self._bucket.objects:
            self._bucket.info(target)
            return None
        self._check(source)
        data, info = self._bucket.objects[source]
        if expected_etag not in {None, info.etag}:
            raise PreconditionFailedError(f"{source!r} changed meanwhile")
        self._bucket.put(target, data, lasting(info.etag))
        return info.etag

    def _check(self, key: str) -> None:
        if key in self._bucket.refused and key in self._bucket.objects:
            raise StoreError(f"{key!r} may not be read")

    def _conditional(self, key: str, data: bytes, expected: str | None) -> ObjectInfo:
        def tag() -> str | None:
            return self._bucket.objects[key][1].etag if key in self._bucket.objects else None

        def check() -> None:
            if tag() != expected:
                raise PreconditionFailedError(f"{key!r} is not as expected")

        def put() -> ObjectInfo:
            check()
            return self._bucket.put(check_key(key), data)

        if not self._faults().conditional:
            self._call(check)
            return self._call(lambda: self._bucket.put(check_key(key), data))
        return self._call(put, decides=True)

    def _call(self, effect: Callable[[], Any], *, decides: bool = False) -> Any:
        """Carry a call out, if it arrives, once or twice; give its answer, if that arrives.

        At most one thing goes wrong, mostly nothing does: a single draw tells, and whatever it is is drawn after that.
        """
        draw, faults = self._scheduler.random, self._faults()
        self._scheduler.sleep(draw.random() * LATE)
        now = self._scheduler.now
        if now < self._bucket.away_until or now < self._process.away_until:
            raise StoreUnavailableError("nobody answers")
        something, weights = faults.deciding if decides else faults.plain
        if draw.random() >= something:
            return effect()
        return self._disturbed(effect, draw.choices(EVENTS, weights)[0])

    def _disturbed(self, effect: Callable[[], Any], event: str) -> Any:
        if event == "lost":
            raise StoreUnavailableError("the request was lost")
        if event in {"crash before", "pause before"}:
            self._interrupt(self._process, event)
        answer = effect()
        if event == "doubled":
            with suppress(PreconditionFailedError, ObjectNotFoundError):
                effect()
        elif event in {"crash after", "pause after"}:
            self._interrupt(self._process, event)
        elif event == "unanswered":
            raise StoreUnavailableError("the answer was lost")
        return answer
