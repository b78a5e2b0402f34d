"""Keeps the server at the version that the pointer names, and tells metrics and status what is served."""

import threading
import time

from prometheus_client import Histogram

from handlers.settings import Settings
from handlers.sidecar.serving_view import show_step, show_swap
from handlers.torchserve.loop import ReconcileLoop
from handlers.torchserve.outcome import ServingState, SwapResult
from handlers.updater.metrics import Metrics
from handlers.updater.status import Status
from model_store.manifest import Evaluation, Manifest
from model_store.objects import StoreError
from model_store.versions import VersionNotFoundError, VersionStore

SWAP_SECONDS = 120.0
"""Longest that an update waits for its version to be served."""
AWAY_SECONDS = 3.0
"""The same while the server cannot be reached at all: it may not have been started."""


class ServingLoop:
    """A thread around the reconciler, and what it tells."""

    def __init__(self, settings: Settings, versions: VersionStore, metrics: Metrics, status: Status) -> None:
        self._versions = versions
        self._metrics = metrics
        self._status = status
        self._changed = threading.Condition()
        self._state = ServingState(None, None, "starting")
        self._shown: int | None = None
        self._expected: dict[int, tuple[float, Histogram]] = {}
        """When the drops of versions that are to come arrived, and where the time until then is counted."""
        self._loop = ReconcileLoop(settings, versions, self, settings.updater.pointer_seconds)

    def start(self) -> None:
        """Begin to reconcile."""
        self._loop.start()

    def stop(self) -> None:
        """End the thread; what is served stays served."""
        self._loop.stop()

    def wait_served(self, version: int, dropped_at: float | None, stopping: threading.Event) -> bool:
        """Wait until ``version`` is served, at most ``SWAP_SECONDS``; the time since ``dropped_at`` is measured then,
        where there is one.

        Gives up early when the server is away, when it gave the version up, or when ``stopping`` is set. The measure
        is taken later in these cases, when the version is served at last.
        """
        began = time.monotonic()
        with self._changed:
            if dropped_at is not None:
                self._expected[version] = (dropped_at, self._metrics.drop_to_served)
            while not stopping.is_set():
                state, waited = self._state, time.monotonic() - began
                if state.served == version:
                    return True
                if state.wanted == version and state.phase == "failed":
                    return False
                if waited > (AWAY_SECONDS if state.phase == "unreachable" else SWAP_SECONDS):
                    return False
                self._status.beat("main")
                self._changed.wait(0.5)
        return False

    def expect_provisional(self, version: int, dropped_at: float) -> None:
        """Measure the time since ``dropped_at`` when ``version`` is served, if it is; nobody waits for that."""
        with self._changed:
            self._expected = {version: (dropped_at, self._metrics.drop_to_provisional)}

    def beat(self) -> None:
        """The loop is alive."""
        self._status.beat("reconcile")

    def failed(self, error: Exception) -> None:
        """A step failed and is tried again."""
        if isinstance(error, StoreError):
            self._metrics.store_errors.inc()
            self._status.add_error("store", str(error))
        else:
            self._status.add_error("serving", f"{type(error).__name__}: {error}")

    def stepped(self, state: ServingState) -> None:
        """Show what a step found, and tell those who wait for a version. Raises ``StoreError``."""
        show_step(state, self._metrics, self._status)
        with self._changed:
            self._state = state
            for version in [number for number in self._expected if number == state.served]:
                dropped_at, seconds = self._expected.pop(version)
                seconds.observe(max(0.0, time.time() - dropped_at))
            self._changed.notify_all()
        if state.stale:
            self._metrics.store_errors.inc()
        elif (current := state.wanted or None) != self._shown:
            self._show(current)

    def _show(self, current: int | None) -> None:
        """The pointer moved (or this process has just started): the accuracy shown is that of its version."""
        if current is None:
            self._metrics.clear_version()
        else:
            manifest = self._versions.manifest(current)
            self._metrics.show_version(manifest, self._versions.evaluation(current), self._parent(manifest))
            if self._shown is None:  # after a start: a rollback may have gone back behind what was published last
                self._metrics.published(self._newest_published(manifest))
        self._shown = current

    def _parent(self, manifest: Manifest) -> Evaluation | None:
        """What the parent reached; None where there is none, or where it was pruned."""
        try:
            return None if manifest.parent is None else self._versions.evaluation(manifest.parent)
        except VersionNotFoundError:
            return None

    def _newest_published(self, current: Manifest) -> float:
        """When the newest version that the gate let pass was made."""
        for number in sorted(self._versions.numbers(), reverse=True):
            if number <= current.version:
                break
            if self._versions.evaluation(number).gate.passed:
                return self._versions.manifest(number).created_at.timestamp()
        return current.created_at.timestamp()

    def swapped(self, swap: SwapResult) -> None:
        """A version took over, or failed to."""
        show_swap(swap, self._metrics, self._status)
