"""Keeps the server at the version that the pointer names, and tells metrics and status what is served."""

import logging
import threading
import time

from handlers.settings import Settings
from handlers.torchserve.reconcile import Reconciler, ServingState, SwapResult
from handlers.updater.metrics import Metrics
from handlers.updater.status import Status
from model_store.objects import StoreError
from model_store.versions import VersionStore

logger = logging.getLogger(__name__)

BUSY_SECONDS = 0.2
SWAP_SECONDS = 120.0
"""Longest that an update waits for its version to be served."""
AWAY_SECONDS = 3.0
"""The same while the server cannot be reached at all: it may not have been started."""
ERROR_PAUSE = 5.0


class ServingLoop:
    """A thread around the reconciler."""

    def __init__(self, settings: Settings, versions: VersionStore, metrics: Metrics, status: Status) -> None:
        self._settings = settings
        self._versions = versions
        self._metrics = metrics
        self._status = status
        self._stop = threading.Event()
        self._changed = threading.Condition()
        self._state = ServingState(None, None, "starting")
        self._shown: int | None = None
        self._expected: dict[int, float] = {}
        self._thread = threading.Thread(target=self._loop, name="reconcile", daemon=True)

    def start(self) -> None:
        """Begin to reconcile."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread; what is served stays served."""
        self._stop.set()
        self._thread.join(timeout=3.0)

    def wait_served(
        self, version: int, dropped_at: float, stopping: threading.Event, *, limit: float = SWAP_SECONDS
    ) -> bool:
        """Wait until ``version`` is served, at most ``limit`` seconds; the time since ``dropped_at`` is measured then.

        Gives up early when the server is away, when it gave the version up, or when ``stopping`` is set. The measure
        is taken later in these cases, when the version is served at last.
        """
        began = time.monotonic()
        with self._changed:
            self._expected[version] = dropped_at
            while not stopping.is_set():
                state, waited = self._state, time.monotonic() - began
                if state.served == version:
                    return True
                if state.wanted == version and state.phase == "failed":
                    return False
                if waited > (AWAY_SECONDS if state.phase == "unreachable" else limit):
                    return False
                self._status.beat("main")
                self._changed.wait(0.5)
        return False

    def _loop(self) -> None:
        with Reconciler(self._settings, self._versions, on_swap=self._swapped) as reconciler:
            while not self._stop.is_set():
                self._status.beat("reconcile")
                pause = self._settings.updater.pointer_seconds
                try:
                    state = reconciler.step()
                    self._take(state)
                    if state.busy and state.phase != "unreachable":
                        pause = min(pause, BUSY_SECONDS)
                except StoreError as error:
                    self._metrics.store_errors.inc()
                    self._status.add_error("store", str(error))
                    pause = ERROR_PAUSE
                except Exception as error:  # whatever it is: the pages and the learning go on, and it is tried again
                    logger.exception("reconciling failed")
                    self._status.add_error("serving", f"{type(error).__name__}: {error}")
                    pause = ERROR_PAUSE
                self._stop.wait(pause)

    def _take(self, state: ServingState) -> None:
        current = state.wanted or None
        served = state.served or None
        self._status.set_versions(current, served, state.message or None)
        self._metrics.served_version.set(served or 0)
        with self._changed:
            self._state = state
            for version in [number for number in self._expected if number == served]:
                self._metrics.drop_to_served.observe(max(0.0, time.time() - self._expected.pop(version)))
            self._changed.notify_all()
        if current != self._shown:
            self._show(current)

    def _show(self, current: int | None) -> None:
        """The pointer moved (or this process has just started): the accuracy shown is that of its version."""
        if current is None:
            self._metrics.clear_version()
        else:
            manifest = self._versions.manifest(current)
            self._metrics.show_version(manifest, self._versions.evaluation(current))
        self._shown = current

    def _swapped(self, swap: SwapResult) -> None:
        succeeded = swap.result == "success"
        self._metrics.swaps.labels("succeeded" if succeeded else "failed").inc()
        if succeeded:
            self._metrics.swap_duration.observe(swap.seconds)
        else:
            self._status.add_error("serving", swap.message)
