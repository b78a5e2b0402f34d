"""Objects that cannot be read or moved now: each is left alone for a while, and the others are not held up.

A file without the right to read it, an object in an archive's storage class, a key that the store refuses: what is
wrong with one object is not a fault of the drop, and may be mended without its content being changed.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from handlers.backoff import backoff
from model_store.objects import ObjectInfo

FIRST_PAUSE = 15.0
LONGEST_PAUSE = 900.0
_FORGOTTEN = 3600.0
"""Seconds after which what was not tried again is gone: removed, or moved by somebody else."""


@dataclass
class _Trouble:
    etag: str
    reason: str
    failures: int
    due: float


class Troubled:
    """By key, for the life of the process; after a restart each is tried once at once. Used by several threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._known: dict[str, _Trouble] = {}

    def note(self, key: str, etag: str, reason: str) -> None:
        """It failed, again or for the first time: it is tried again after a pause that grows."""
        with self._lock:
            before = self._known.get(key)
            failures = before.failures + 1 if before is not None and before.etag == etag else 1
            now = self._clock()
            self._known = {other: one for other, one in self._known.items() if now - one.due < _FORGOTTEN}
            self._known[key] = _Trouble(etag, reason, failures, now + backoff(failures, FIRST_PAUSE, LONGEST_PAUSE))

    def waits(self, info: ObjectInfo) -> str | None:
        """What is wrong with an object that is not to be tried yet; None for every other. A changed one is tried."""
        with self._lock:
            trouble = self._known.get(info.key)
            if trouble is None or trouble.etag != info.etag or self._clock() >= trouble.due:
                return None
            return trouble.reason
