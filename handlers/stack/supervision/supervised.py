"""One supervised service: started, watched, restarted with growing pauses, stopped."""

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from handlers.backoff import backoff
from handlers.stack.health import Health
from handlers.stack.supervision.guarded import GuardedProcess, describe_status

logger = logging.getLogger(__name__)

STARTING = Health(alive=False, ready=False, reason="is starting")


@dataclass(frozen=True)
class Service:
    """What to run and how to judge it; all times in seconds."""

    name: str
    command: tuple[str, ...]
    probe: Callable[[], Health]
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    """The whole environment of the process."""
    folder: Path | None = None
    """Its working folder; None: this process's."""
    needs: str | None = None
    """The service that must have been ready before this one is started, and that is stopped after it."""
    start_seconds: float = 60.0
    """How long it may stay silent after its start."""
    hang_seconds: float = 30.0
    """How long it may stay silent after it has answered; then it is restarted."""
    unready_seconds: float | None = None
    """How long it may answer without being ready; None: for ever."""
    grace_seconds: float = 6.0
    """From SIGTERM to SIGKILL."""
    probe_seconds: float = 1.0
    """Pause between two questions."""
    first_pause: float = 0.5
    """Pause before the first restart; doubled each time."""
    longest_pause: float = 30.0
    """Most that a pause grows to."""
    forgive_seconds: float = 60.0
    """After so long without a failure the pauses start small again."""


class RunningService:
    """The life of one service. ``tick`` is called a few times a second by the supervisor's loop."""

    def __init__(self, service: Service, output: Callable[[str], None]) -> None:
        self.service = service
        self.health = STARTING
        self.restarts = 0
        self.failures = 0
        self.ever_alive = False
        self._output = output
        self._process: GuardedProcess | None = None
        self._start_at = 0.0
        self._started = 0.0
        self._answered: float | None = None
        self._ready_or_started = 0.0
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        """A probe's answer is taken in whole while its process is still the one that runs, or not at all."""
        self._prober = threading.Thread(target=self._probe, name=f"probe-{service.name}", daemon=True)

    @property
    def pid(self) -> int | None:
        """The guard's process id while the service runs."""
        return self._process.pid if self._process is not None else None

    def tick(self, now: float) -> None:
        """Start it when it is due, notice a crash or a hang."""
        if self._process is None:
            if now >= self._start_at:
                self._start(now)
            return
        status = self._process.poll()
        if status is not None:
            self._process.wait(1.0)
            self._failed(now, f"ended ({describe_status(status)})")
        elif silent := self._silent(now):
            logger.warning("%s %s: stopping it", self.service.name, silent)
            self._end_process()
            self._failed(time.monotonic(), silent)
        elif self.failures and self._ready_or_started - self._started > self.service.forgive_seconds:
            self.failures = 0

    def ask_to_stop(self) -> None:
        """Begin an orderly end; it is not started again."""
        self._stopped.set()
        if self._process is not None:
            self._process.terminate()

    def finish(self, deadline: float) -> None:
        """Wait for the end until ``deadline`` (monotonic), then force it."""
        if self._process is None:
            return
        if not self._process.wait(max(0.1, deadline - time.monotonic())):
            self._process.kill()
            self._process.wait(1.0)
        self._process = None

    def _start(self, now: float) -> None:
        self.health = STARTING
        self._started = self._ready_or_started = now
        self._answered = None
        self._process = GuardedProcess(
            self.service.command,
            self.service.environment,
            self.service.grace_seconds,
            self._output,
            self.service.folder,
        )
        logger.info("started %s", self.service.name, extra={"pid": self._process.pid})
        if not self._prober.is_alive():
            self._prober.start()

    def _failed(self, now: float, reason: str) -> None:
        pause = backoff(self.failures + 1, self.service.first_pause, self.service.longest_pause)
        with self._lock:
            self._process = None
            self.health = Health(alive=False, ready=False, reason=reason)
        self.failures += 1
        self.restarts += 1
        self._start_at = now + pause
        logger.warning("%s %s: restarting it in %.1f s", self.service.name, reason, pause)

    def _silent(self, now: float) -> str:
        """Why the service counts as hung, or an empty string."""
        limit = self.service.start_seconds if self._answered is None else self.service.hang_seconds
        if now - (self._answered or self._started) > limit:
            return f"has not answered for {limit:.0f} s"
        patience = self.service.unready_seconds
        if patience is not None and self.health.alive and now - self._ready_or_started > patience:
            return f"has not been ready for {patience:.0f} s ({self.health.reason})"
        return ""

    def _end_process(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self.finish(time.monotonic() + self.service.grace_seconds + 1.0)

    def _probe(self) -> None:
        while not self._stopped.wait(self.service.probe_seconds if self.health.ready else 0.25):
            process = self._process
            if process is None:
                continue
            health = self.service.probe()
            with self._lock:
                if process is not self._process:
                    continue  # the answer came from a process that is gone
                now = time.monotonic()
                self.health = health if health.alive or self._answered is not None else STARTING
                if health.alive:
                    self._answered = now
                    self.ever_alive = True
                if health.ready:
                    self._ready_or_started = now
