"""A thread that keeps a TorchServe at the pointer's version: the same in the updater and in a follower."""

import logging
import threading
from random import SystemRandom
from typing import Final, Protocol

from handlers.inference.workers.priority import give_way
from handlers.settings import Settings
from handlers.torchserve.outcome import ServingState, SwapResult
from handlers.torchserve.reconcile import Reconciler
from model_store.objects import StoreError
from model_store.versions import VersionStore

logger = logging.getLogger(__name__)

BUSY_SECONDS: Final = {"torchserve": 0.2, "uvicorn": 0.03}
"""Pause between steps while something is under way, by engine: our own server has a version in a moment."""
ERROR_PAUSE: Final = 5.0
JITTER: Final = (0.75, 1.25)
"""Random factor on the polling interval, so that replicas started together do not poll together."""


class Listener(Protocol):
    """Whom the loop tells. Called from its thread; what ``stepped`` raises is handed to ``failed``."""

    def beat(self) -> None:
        """The loop is alive."""

    def stepped(self, state: ServingState) -> None:
        """A step found and left this."""

    def swapped(self, swap: SwapResult) -> None:
        """A version took over, or failed to."""

    def failed(self, error: Exception) -> None:
        """A step failed by something that waiting may heal; it is tried again after a pause."""


class ReconcileLoop:
    """``pointer_seconds``: how often the store is asked for the pointer; nothing else is asked of it in between."""

    def __init__(self, settings: Settings, versions: VersionStore, listener: Listener, pointer_seconds: float) -> None:
        self._settings = settings
        self._versions = versions
        self._listener = listener
        self._pointer_seconds = pointer_seconds
        self._random = SystemRandom()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="reconcile", daemon=True)

    def start(self) -> None:
        """Begin to reconcile."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread; what is served stays served."""
        self._stop.set()
        self._thread.join(timeout=3.0)

    def _loop(self) -> None:
        give_way()
        with Reconciler(
            self._settings,
            self._versions,
            on_swap=self._listener.swapped,
            pointer_seconds=self._pointer_seconds * JITTER[0],
        ) as reconciler:
            while not self._stop.is_set():
                self._listener.beat()
                self._stop.wait(self._step(reconciler))

    def _step(self, reconciler: Reconciler) -> float:
        """One step; returns the pause after it."""
        try:
            state = reconciler.step()
            self._listener.stepped(state)
        except StoreError as error:
            self._listener.failed(error)
            return ERROR_PAUSE
        except Exception as error:  # whatever it is: the process has other work, and it is tried again
            logger.exception("reconciling failed")
            self._listener.failed(error)
            return ERROR_PAUSE
        pause = self._pointer_seconds * self._random.uniform(*JITTER)
        busy = BUSY_SECONDS[self._settings.serving.engine]
        return min(pause, busy) if state.busy and state.phase != "unreachable" else pause
