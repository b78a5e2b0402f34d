"""Listens to the store and wakes the watcher when something happened: sooner than the next listing, never instead."""

import logging
import threading
import time
from collections.abc import Callable

from handlers.backoff import backoff
from handlers.bucket.layout import INCOMING
from model_store.notify import Notifies
from model_store.objects import StoreError, StoreUnavailableError

logger = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 60.0
"""Seconds between two attempts to listen."""
SHORT = 30.0
"""Seconds. A store that takes listening for something else ends it sooner, without having told anything."""
TRIES = 3
"""So many short ends in a row, and it is left alone for good."""


class Hints:
    """A daemon thread that calls ``wake`` after each hint, until the store has shown that it gives none.

    Nothing that happens in it harms the watcher, which lists at its intervals in any case.
    """

    def __init__(self, store: Notifies, wake: Callable[[], None]) -> None:
        self._store = store
        self._wake = wake
        self._told = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="hints", daemon=True)

    @property
    def listening(self) -> bool:
        """Whether it still listens, or waits to do so again."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def stop(self) -> None:
        """End soon: a thread that waits on a silent connection is left behind, and ends with the process."""
        self._stop.set()
        self._thread.join(timeout=0.5)

    def _run(self) -> None:
        useless = failures = 0
        while not self._stop.is_set():
            started = time.monotonic()
            reason, passing = self._listen()
            if self._told or time.monotonic() - started > SHORT:
                useless = failures = 0
            elif not passing:
                useless += 1
            if useless >= TRIES:
                logger.info("no notifications from the store (%s): incoming/ is listed at intervals only", reason)
                return
            if passing and failures == 0:
                logger.warning("notifications from the store are interrupted, listing goes on: %s", reason)
            failures += 1
            self._stop.wait(backoff(failures, FIRST_PAUSE, LONGEST_PAUSE))

    def _listen(self) -> tuple[str, bool]:
        """Listen until it ends: why it did, and whether that may pass."""
        self._told = False
        try:
            for _ in self._store.listen(INCOMING, self._stop):
                self._told = True
                self._wake()
        except StoreUnavailableError as error:
            return str(error), True
        except StoreError as error:
            return str(error), False
        except Exception as error:  # noqa: BLE001 (whatever it is: a hint is worth a line in the log and no more)
            return f"{type(error).__name__}: {error}", False
        return "it ends the request at once or never answers it", False
