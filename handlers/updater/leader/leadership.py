"""Keeps this process's side of the lease in a thread of its own, and tells metrics and status who is active."""

import logging
import os
import platform
import threading

from handlers.bucket.updates import UpdateRecords
from handlers.settings import Settings
from handlers.updater.errors import LeaseLostError
from handlers.updater.leader.data_folder import Holder
from handlers.updater.leader.lease import Lease, LeaseState
from handlers.updater.metrics import Metrics
from handlers.updater.status import Status
from model_store.objects import ObjectStore, StoreError
from model_store.versions import CorruptVersionError, VersionStore

logger = logging.getLogger(__name__)

STOP_SECONDS = 3.0
"""Longest that a stop waits for the lease to be given back; a standby then waits for it to run out."""


def last_epoch(objects: ObjectStore) -> int:
    """The highest epoch that the store remembers besides the lease: the pointer's, and that of the newest update.

    Raises ``StoreError``.
    """
    records = UpdateRecords(objects)
    try:
        latest = records.latest()
        worked = records.attempts(latest).epoch if latest is not None else None
        pointer = VersionStore(objects).current()
    except CorruptVersionError:  # it is replaced by the next version, or by a person
        return 0
    return max(worked or 0, (pointer.epoch or 0) if pointer is not None else 0)


class Leadership:
    """Between ``start`` and ``stop`` this updater is active or a standby. Before and after, it is neither."""

    def __init__(self, settings: Settings, objects: ObjectStore, metrics: Metrics, status: Status) -> None:
        self._settings = settings
        self._objects = objects
        self._metrics = metrics
        self._status = status
        self._stop = threading.Event()
        self._holder: Holder | None = None
        self._lease: Lease | None = None
        self._shown: LeaseState | None = None
        self._thread = threading.Thread(target=self._loop, name="lease", daemon=True)

    @property
    def active(self) -> bool:
        """Whether this updater is the one that learns."""
        return self._lease is not None and self._lease.active

    @property
    def epoch(self) -> int | None:
        """What this updater's writes carry: one more for each that became active; None for a single writer."""
        return self._lease.epoch if self._lease is not None else None

    def start(self) -> None:
        """Lock the data folder and begin to look. Raises ``OSError``."""
        self._holder = Holder(self._settings.work_folder)
        name = f"{platform.node() or 'this host'}, process {os.getpid()}"
        seconds = self._settings.updater.lease_seconds
        self._lease = Lease(
            self._objects,
            seconds,
            self._holder.name,
            name,
            lowest_term=lambda: last_epoch(self._objects),
            candidate=self._settings.updater.learns,
        )
        self._thread.start()

    def stop(self) -> None:
        """Give the lease back."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=STOP_SECONDS)
        if self._holder is not None:
            self._holder.close()

    def wait_active(self, seconds: float) -> bool:
        """Wait at most so long to become active."""
        return self._lease is not None and self._lease.wait_active(seconds)

    def hold(self) -> None:
        """Raise ``LeaseLostError`` when nothing may be written, ``StoreError`` when the store does not tell."""
        self._started().hold()

    def confirm(self) -> None:
        """The same, from the store itself."""
        self._started().confirm()

    def _started(self) -> Lease:
        if self._lease is None:
            raise LeaseLostError("this updater has not been started")
        return self._lease

    def _loop(self) -> None:
        lease = self._started()
        told = ""
        while not self._stop.is_set():
            try:
                lease.tend()
                told = ""
            except StoreError as error:
                self._metrics.store_errors.inc()
                self._status.add_error("store", str(error))
                if str(error) != told:  # not every second for as long as a disk is full
                    logger.warning("the lease cannot be looked after: %s", error)
                told = str(error)
            self._show(lease.state)
            self._stop.wait(lease.look_seconds)
        try:
            lease.release()
        except StoreError as error:
            logger.warning("the lease is not given back, a standby waits for its end: %s", error)
        self._show(lease.state)

    def _show(self, state: LeaseState) -> None:
        if state == self._shown:
            return
        self._metrics.active.set(self.active)
        self._status.set_lease(state.state, state.holder, state.term)
        if state.state == "single writer":
            logger.warning(
                "%s does not honour conditional writes: this must be the only updater on it", self._objects.url
            )
        elif state.state == "standby" and not self._stop.is_set():
            logger.info("standby: updater %s is active", state.holder or "(unknown)", extra={"term": state.term})
        self._shown = state
