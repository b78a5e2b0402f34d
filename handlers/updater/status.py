"""What the updater is doing, shared between its threads and shown on the page and in ``/api/status``."""

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from handlers.sidecar.status import SidecarStatus, timestamp
from handlers.updater.pace import Pace

REJECTED_KEPT = 100
WAITING_SHOWN = 1000


@dataclass
class Phase:
    """The running update. ``step`` is the name of a ``workflow.runner.Step``; the rest tells of its learning child."""

    update: str
    step: str = "ingest"
    new_classes: tuple[str, ...] = ()
    updated_classes: tuple[str, ...] = ()
    version: int | None = None
    parent: int | None = None
    provisional: int | None = None
    """The provisional version that answers until the phase is learnt."""
    refines: bool = False
    """Whether the backbone of the served version is refined: nothing new is learnt."""
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
    """Weight of the less-forget loss."""
    eta: float | None = None
    """Scale of the cosines in the logits."""
    started_at: str = field(default_factory=timestamp)
    pace: Pace = field(default_factory=Pace)

    def document(self) -> dict[str, Any]:
        """In JSON values. ``seconds_left`` is None where nobody can tell; ``expert`` has what only experts read."""
        left = self.pace.left(time.monotonic())
        return {
            "update": self.update,
            "step": self.step,
            "new_classes": list(self.new_classes),
            "updated_classes": list(self.updated_classes),
            "version": self.version,
            "parent": self.parent,
            "provisional": self.provisional,
            "refines": self.refines,
            "images": self.images,
            "attempt": self.attempt,
            "stage": self.stage,
            "epoch": self.epoch,
            "epochs": self.epochs,
            "progress": self.progress,
            "seconds_left": None if left is None else round(left, 1),
            "started_at": self.started_at,
            "expert": {
                "losses": dict(self.losses),
                "loss_history": list(self.loss_history),
                "less_forget_weight": self.lambda_,
                "cosine_scale": self.eta,
            },
        }


class Status(SidecarStatus):
    """What every sidecar tells, and the running update, what waits, what was rejected, who holds the lease."""

    def __init__(self, store_url: str) -> None:
        super().__init__(store_url)
        self._lease: dict[str, Any] = {"state": "starting", "holder": None, "term": None}
        self._phase: Phase | None = None
        self._waiting: list[dict[str, Any]] = []
        self._waiting_total = 0
        self._rejected: deque[dict[str, Any]] = deque(maxlen=REJECTED_KEPT)
        self._last_update: dict[str, Any] | None = None

    def set_lease(self, state: str, holder: str | None, term: int | None) -> None:
        """Whether this updater is active or stands by, and for which other one."""
        with self._lock:
            self._lease = {"state": state, "holder": holder, "term": term}

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
                if "progress" in changes:
                    self._phase.pace.report(self._phase.progress, time.monotonic())

    def add_loss(self, progress: float, loss: float) -> None:
        """One more point of the loss curve; the curve is thinned when it grows long."""
        with self._lock:
            if self._phase is not None:
                history = self._phase.loss_history
                history.append((round(progress, 4), round(loss, 5)))
                if len(history) > 400:
                    del history[1:-1:2]

    def set_waiting(self, waiting: Sequence[dict[str, Any]]) -> None:
        """What lies in ``incoming/`` and why it is not being learnt yet, see ``intake.readiness.waiting_folders``."""
        with self._lock:
            self._waiting, self._waiting_total = list(waiting[:WAITING_SHOWN]), len(waiting)

    def add_rejected(self, key: str, class_name: str | None, reason: str, update: str) -> None:
        """A file was rejected."""
        entry = {"key": key, "class": class_name, "reason": reason, "update": update, "at": timestamp()}
        with self._lock:
            self._rejected.appendleft(entry)

    def set_last_update(self, last: dict[str, Any]) -> None:
        """How the newest update ended."""
        with self._lock:
            self._last_update = last

    def _facts(self) -> dict[str, Any]:
        return super()._facts() | {
            "phase": self._phase.document() if self._phase is not None else None,
            "waiting": list(self._waiting),
            "waiting_total": self._waiting_total,
            "rejected": list(self._rejected),
            "last_update": self._last_update,
            "lease": dict(self._lease),
        }
