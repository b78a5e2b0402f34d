"""What the updater is doing, shared between its threads and shown on the page and in ``/api/status``."""

import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from handlers.updater.intake.readiness import FolderState
from model_store.manifest import now

ERRORS_KEPT = 20
REJECTED_KEPT = 100
WAITING_SHOWN = 1000


def _timestamp() -> str:
    return now().isoformat(timespec="seconds")


@dataclass
class Phase:
    """The running update. ``step`` is one of ``steps.STEPS``; the rest tells of its learning child."""

    update: str
    step: str = "ingest"
    new_classes: tuple[str, ...] = ()
    updated_classes: tuple[str, ...] = ()
    version: int | None = None
    parent: int | None = None
    provisional: int | None = None
    """The provisional version that answers until the phase is learnt."""
    images: int = 0
    attempt: int = 1
    stage: str | None = None
    epoch: int | None = None
    epochs: int | None = None
    progress: float = 0.0
    losses: dict[str, float] = field(default_factory=dict)
    loss_history: list[tuple[float, float]] = field(default_factory=list)
    """(progress, sum of the losses), at most a few hundred points."""
    lambda_: float | None = None
    eta: float | None = None
    started_at: str = field(default_factory=_timestamp)


class Status:
    """Thread-safe; ``snapshot`` is what ``/api/status`` answers."""

    def __init__(self, store_url: str) -> None:
        self._lock = threading.Lock()
        self._store = {"url": store_url, "ok": True, "error": None}
        self._lease: dict[str, Any] = {"state": "starting", "holder": None, "term": None}
        self._current: int | None = None
        self._served: int | None = None
        self._server_error: str | None = None
        self._phase: Phase | None = None
        self._waiting: list[dict[str, Any]] = []
        self._waiting_total = 0
        self._rejected: deque[dict[str, Any]] = deque(maxlen=REJECTED_KEPT)
        self._errors: deque[dict[str, Any]] = deque(maxlen=ERRORS_KEPT)
        self._last_update: dict[str, Any] | None = None
        self._started_at = _timestamp()
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
        """The store did not do what it was asked."""
        with self._lock:
            self._store.update(ok=False, error=str(error))

    def set_lease(self, state: str, holder: str | None, term: int | None) -> None:
        """Whether this updater is active or stands by, and for which other one."""
        with self._lock:
            self._lease = {"state": state, "holder": holder, "term": term}

    def set_versions(self, current: int | None, served: int | None, server_error: str | None) -> None:
        """What is pointed to, what is served, and why they differ."""
        with self._lock:
            self._current, self._served, self._server_error = current, served, server_error

    def set_phase(self, phase: Phase | None) -> None:
        """An update begins, or none runs any more."""
        with self._lock:
            self._phase = phase

    def update_phase(self, **changes: Any) -> None:
        """Change fields of the running update."""
        with self._lock:
            if self._phase is not None:
                for name, value in changes.items():
                    setattr(self._phase, name, value)

    def add_loss(self, progress: float, loss: float) -> None:
        """One more point of the loss curve; the curve is thinned when it grows long."""
        with self._lock:
            if self._phase is not None:
                history = self._phase.loss_history
                history.append((round(progress, 4), round(loss, 5)))
                if len(history) > 400:
                    del history[1:-1:2]

    def set_waiting(self, states: Sequence[FolderState]) -> None:
        """What lies in ``incoming/`` and why it is not being learnt yet."""
        waiting = [
            {
                "class": state.folder.class_name or state.folder.name or "(files in no folder)",
                "images": state.folder.images,
                "others": state.folder.others,
                "state": state.state,
                "reason": state.reason,
            }
            for state in states
            if state.state != "learning"
        ]
        with self._lock:
            self._waiting, self._waiting_total = waiting[:WAITING_SHOWN], len(waiting)

    def add_rejected(self, key: str, class_name: str | None, reason: str, update: str) -> None:
        """A file was rejected."""
        entry = {"key": key, "class": class_name, "reason": reason, "update": update, "at": _timestamp()}
        with self._lock:
            self._rejected.appendleft(entry)

    def add_error(self, where: str, message: str) -> None:
        """Something failed; the same failure again only renews its time."""
        with self._lock:
            if self._errors and (self._errors[0]["where"], self._errors[0]["message"]) == (where, message):
                self._errors[0].update(at=_timestamp(), count=self._errors[0]["count"] + 1)
            else:
                self._errors.appendleft({"at": _timestamp(), "where": where, "message": message, "count": 1})

    def set_last_update(self, last: dict[str, Any]) -> None:
        """How the newest update ended."""
        with self._lock:
            self._last_update = last

    @property
    def served(self) -> int | None:
        """The version the server last reported."""
        with self._lock:
            return self._served

    def snapshot(self) -> dict[str, Any]:
        """Everything as JSON values; the phase's ``lambda_`` is called ``lambda``."""
        with self._lock:
            phase = asdict(self._phase) if self._phase is not None else None
            if phase is not None:
                phase["lambda"] = phase.pop("lambda_")
            return {
                "current_version": self._current,
                "served_version": self._served,
                "server_error": self._server_error,
                "phase": phase,
                "waiting": list(self._waiting),
                "waiting_total": self._waiting_total,
                "rejected": list(self._rejected),
                "errors": [dict(error) for error in self._errors],
                "last_update": self._last_update,
                "store": dict(self._store),
                "lease": dict(self._lease),
                "started_at": self._started_at,
            }
