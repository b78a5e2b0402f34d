"""What updater and follower both tell in ``/api/status``, shared between the threads of the process."""

import threading
import time
from collections import deque
from collections.abc import Mapping
from typing import Any

from model_store.manifest import now

ERRORS_KEPT = 20


def timestamp() -> str:
    """The present time, UTC, to the second (ISO 8601)."""
    return now().isoformat(timespec="seconds")


class SidecarStatus:
    """Versions, store, errors, and which loops are alive. Thread-safe; ``snapshot`` is what ``/api/status`` answers."""

    def __init__(self, store_url: str) -> None:
        self._lock = threading.Lock()
        self._store = {"url": store_url, "ok": True, "error": None}
        self._current: int | None = None
        self._served: int | None = None
        self._server_error: str | None = None
        self._copy: Mapping[str, Any] | None = None
        self._errors: deque[dict[str, Any]] = deque(maxlen=ERRORS_KEPT)
        self._started_at = timestamp()
        self._beats: dict[str, float] = {}

    def beat(self, loop: str) -> None:
        """A loop tells that it is alive."""
        with self._lock:
            self._beats[loop] = time.monotonic()

    def silent_loops(self, longest: float) -> list[str]:
        """Loops that have not told for more than ``longest`` seconds."""
        with self._lock:
            present = time.monotonic()
            return sorted(name for name, beat in self._beats.items() if present - beat > longest)

    def store_ok(self) -> None:
        """The store answered."""
        with self._lock:
            self._store.update(ok=True, error=None)

    def store_failed(self, error: Exception) -> None:
        """A request to the store failed."""
        with self._lock:
            self._store.update(ok=False, error=str(error))

    def set_versions(
        self, current: int | None, served: int | None, server_error: str | None, copy: Mapping[str, Any] | None = None
    ) -> None:
        """What is pointed to, what is served, and why they differ; ``copy``: which copy of it answers, if one does."""
        with self._lock:
            self._current, self._served, self._server_error, self._copy = current, served, server_error, copy

    def add_error(self, where: str, message: str) -> None:
        """Something failed; the same failure again only renews its time."""
        with self._lock:
            same = next((one for one in self._errors if (one["where"], one["message"]) == (where, message)), None)
            if same is not None:
                self._errors.remove(same)
            count = 1 if same is None else same["count"] + 1
            self._errors.appendleft({"at": timestamp(), "where": where, "message": message, "count": count})

    @property
    def served(self) -> int | None:
        """The version the server last reported."""
        with self._lock:
            return self._served

    def snapshot(self) -> dict[str, Any]:
        """Everything as JSON values."""
        with self._lock:
            return self._facts()

    def _facts(self) -> dict[str, Any]:
        """The document, copied; called with the lock held."""
        return {
            "current_version": self._current,
            "served_version": self._served,
            "server_error": self._server_error,
            "serving_copy": None if self._copy is None else dict(self._copy),
            "errors": [dict(error) for error in self._errors],
            "store": dict(self._store),
            "started_at": self._started_at,
        }
