"""Notices drops: lists ``incoming/`` at intervals, and at once when the store hints that something changed."""

import logging
import threading
import time
from collections.abc import Mapping

from handlers.backoff import backoff
from handlers.bucket.update_documents import FailedFolder
from handlers.settings import UpdaterSettings
from handlers.updater.context.troubled import Troubled
from handlers.updater.intake.listing import scan
from handlers.updater.intake.notifications import Hints
from handlers.updater.intake.readiness import FolderState, Readiness, waiting_folders
from handlers.updater.metrics import Metrics
from handlers.updater.status import Status
from model_store.notify import Notifies
from model_store.objects import ObjectStore, StoreError

logger = logging.getLogger(__name__)

LONGEST_PAUSE = 30.0


class Watcher:
    """A thread that lists and judges; hints only wake it."""

    def __init__(
        self,
        objects: ObjectStore,
        settings: UpdaterSettings,
        metrics: Metrics,
        status: Status,
        troubled: Troubled | None = None,
    ) -> None:
        self._objects = objects
        self._settings = settings
        self._metrics = metrics
        self._status = status
        self._troubled = troubled or Troubled()
        self._readiness = Readiness(settings)
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._states: list[FolderState] = []
        self._known: frozenset[str] = frozenset()
        self._learning: frozenset[str] = frozenset()
        self._failed: Mapping[str, FailedFolder] = {}
        self.ready = threading.Event()
        """Set while folders are ready to be learnt."""
        self.arriving = threading.Event()
        """Set while there are such, or some that time alone makes so."""
        self._thread = threading.Thread(target=self._list_always, name="watch", daemon=True)
        self._hints = Hints(objects, self._hint) if settings.hints and isinstance(objects, Notifies) else None

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()
        if self._hints is not None:
            self._hints.start()

    def stop(self) -> None:
        """End the threads."""
        self._stop.set()
        self._wake.set()
        self._thread.join(timeout=2.0)
        if self._hints is not None:
            self._hints.stop()

    def set_known(self, classes: frozenset[str], *, frozen: bool = False) -> None:
        """The classes of the version that is served now; empty before the first. frozen: whether its backbone is."""
        with self._lock:
            self._known = classes
            self._readiness.frozen = frozen

    @property
    def known(self) -> frozenset[str]:
        """The same classes."""
        with self._lock:
            return self._known

    def short(self) -> frozenset[str]:
        """Folders with images that wait for more, or for a person, as far as the last listing tells."""
        with self._lock:
            return frozenset(s.folder.name for s in self._states if s.state == "waiting" and s.folder.images)

    def set_learning(self, folders: frozenset[str]) -> None:
        """The folders that an update has taken up."""
        with self._lock:
            self._learning = folders
            if folders:
                self.ready.clear()

    def set_failed(self, folders: Mapping[str, FailedFolder]) -> None:
        """The folders that are left alone until their content changes."""
        with self._lock:
            self._failed = dict(folders)

    def look(self) -> list[FolderState]:
        """List and judge now. Raises ``StoreError``."""
        with self._lock:
            folders = scan(self._objects, self._troubled)
            self._states = self._readiness.judge(
                folders,
                self._known,
                self._failed,
                self._learning,
                wall=time.time(),
                monotonic=time.monotonic(),
            )
            self._status.set_waiting(waiting_folders(self._states))
            waiting: dict[str, int] = {}
            for state in self._states:
                if state.state != "learning" and (name := state.folder.class_name or state.folder.name):
                    waiting[name] = waiting.get(name, 0) + state.folder.images
            self._metrics.show_waiting(waiting)
            _set(self.arriving, any(state.state in {"ready", "settling"} for state in self._states))
            _set(self.ready, any(state.state == "ready" for state in self._states))
            return self._states

    def _list_always(self) -> None:
        failures = 0
        while not self._stop.is_set():
            self._status.beat("watch")
            self._wake.clear()
            started = time.monotonic()
            try:
                states = self.look()
            except StoreError as error:
                failures += 1
                self._metrics.store_errors.inc()
                self._status.store_failed(error)
                self._status.add_error("store", str(error))
                logger.warning("incoming/ cannot be listed: %s", error)
                pause = backoff(failures, self._settings.poll_seconds, LONGEST_PAUSE)
            else:
                failures = 0
                self._status.store_ok()
                due = [state.due_in for state in states if state.due_in is not None]
                pause = min([self._settings.poll_seconds, *(max(0.05, seconds + 0.02) for seconds in due)])
            spent = time.monotonic() - started
            # Also after a failure: a store that sends a hint is there again.
            self._wake.wait(pause)
            self._stop.wait(rest_after(spent, failed=failures > 0) if self._wake.is_set() else 0)

    def _hint(self) -> None:
        self._metrics.store_hints.inc()
        self._wake.set()


def rest_after(spent: float, *, failed: bool) -> float:
    """Seconds until a hint makes us list again, after a listing that took so many: a long copy sends many of them.

    A machine that slept in the middle of a listing does not rest for as long again.
    """
    return 1.0 if failed else min(max(0.1, 2 * spent), LONGEST_PAUSE)


def _set(event: threading.Event, value: bool) -> None:
    if value:
        event.set()
    else:
        event.clear()
