"""One active updater per store: a lease (``updates/lease.json``) that its holder renews and standbys watch.

No two clocks are compared. A standby takes the lease when it has watched it unchanged for ``lease_seconds`` of its own
monotonic time; the holder stops writing two thirds of that after its last renewal began, counted by a clock that goes
on while the machine sleeps. Every renewal and every take-over is a conditional write, so that one of two wins. The term
counts the take-overs and never goes back, also where somebody removed it: ``lowest_term`` tells one that was had.
"""

import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Condition, Lock
from typing import Literal

from handlers.bucket.update_documents import LeaseRecord
from handlers.updater.errors import LeaseLostError
from model_store.documents import CorruptVersionError, encode, parse
from model_store.manifest import now
from model_store.objects import ObjectNotFoundError, ObjectStore, PreconditionFailedError

logger = logging.getLogger(__name__)

KEY = "updates/lease.json"
LIMIT = 64 * 1024
SAFE_SHARE = 2 / 3
"""Of ``lease_seconds``: how long a renewal lets its holder write. The rest is room for a write that takes its time."""

State = Literal["starting", "active", "standby", "single writer"]


@dataclass(frozen=True)
class LeaseState:
    """What is known of the lease. ``single writer``: the store cannot guard one, so that nobody else may be started."""

    state: State
    holder: str | None
    """The active updater, as a person finds it: host and process."""
    term: int | None


def awake_and_asleep() -> float:
    """Monotonic seconds, counted through suspend (CLOCK_BOOTTIME where available)."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Lease:
    """This process's side of the lease. ``tend`` is to be called every ``look_seconds`` of its own thread."""

    def __init__(
        self,
        objects: ObjectStore,
        seconds: float,
        holder: str,
        name: str,
        *,
        lowest_term: Callable[[], int] = lambda: 0,
        candidate: bool = True,
        watch_clock: Callable[[], float] = time.monotonic,
        hold_clock: Callable[[], float] = awake_and_asleep,
    ) -> None:
        """candidate: whether it ever takes the lease; else it is a standby for good."""
        self._objects = objects
        self._seconds = seconds
        self._holder = holder
        self._name = name
        self._lowest_term = lowest_term
        self._candidate = candidate
        self._watch_clock = watch_clock
        self._hold_clock = hold_clock
        self._lock = Lock()
        self._changed = Condition()
        self._state = LeaseState("starting", None, None)
        self._record: LeaseRecord | None = None
        """What this process wrote last, while it holds the lease."""
        self._etag = ""
        self._safe_until = 0.0
        self._renewed_at = 0.0
        self._seen: tuple[str, float] | None = None
        self._taken_before = False
        self._highest_term = 0
        self._epoch: int | None = None

    @property
    def state(self) -> LeaseState:
        """Who is active, as last seen."""
        return self._state

    @property
    def active(self) -> bool:
        """Whether this process is the one that learns, as far as it knows."""
        return self._state.state in {"active", "single writer"}

    @property
    def epoch(self) -> int | None:
        """The term in which this process became active last, which its writes carry; None for a single writer."""
        return self._epoch

    @property
    def look_seconds(self) -> float:
        """How often ``tend`` is to be called."""
        return self._seconds / 15

    def wait_active(self, seconds: float) -> bool:
        """Wait at most so long to become active."""
        with self._changed:
            return self._changed.wait_for(lambda: self.active, seconds)

    def tend(self) -> None:
        """Renew the lease when it is time to, or look whether it can be had. Raises ``StoreError``."""
        with self._lock:
            if not self._candidate:
                self._stand_by(self._read())
            elif not self._objects.conditional_writes:
                self._show(LeaseState("single writer", self._name, None))
            elif self._record is None:
                self._look()
            elif self._hold_clock() - self._renewed_at >= self._seconds / 5:
                self._renew()

    def hold(self) -> None:
        """Return when this process may write now. Raises ``LeaseLostError``, or ``StoreError`` when it cannot tell."""
        if self._state.state == "single writer" or self._hold_clock() < self._safe_until:
            return
        self.confirm()

    def confirm(self) -> None:
        """The same, but the store itself is asked, by a renewal."""
        with self._lock:
            if self._state.state == "single writer":
                return
            if self._record is None or not self._renew():
                raise LeaseLostError(f"updater {self._state.holder or '(unknown)'} is active on {self._objects.url}")

    def release(self) -> None:
        """Let a standby take over at once. Raises ``StoreError``."""
        with self._lock:
            if self._record is None:
                return
            record = self._record.model_copy(update={"released": True, "renewed_at": now()})
            self._lose(None)
            try:
                self._objects.replace(KEY, encode(record), expected_etag=self._etag)
            except PreconditionFailedError:
                logger.debug("the lease was another's already")

    def _look(self) -> None:
        """As a standby: see what is there, and take it when it may be taken."""
        try:
            etag = self._objects.stat(KEY).etag
        except ObjectNotFoundError:
            if self._seen is None:  # nobody has ever been active here
                self._take(None, "")
                return
            etag = ""  # somebody removed it under its holder, who learns that at its next renewal
        present = self._watch_clock()
        if self._seen is None or self._seen[0] != etag:
            self._seen = (etag, present)
            record = self._read()
            if record is not None and (record.released or self._is_predecessor(record)):
                self._take(record, etag)
            else:
                self._stand_by(record)
        elif present - self._seen[1] >= self._seconds:
            logger.warning("the active updater is silent: taking over", extra={"holder": self._state.holder or "-"})
            self._take(self._read(), etag)

    def _is_predecessor(self, record: LeaseRecord) -> bool:
        """Whether it was left by an earlier process of this data folder, which is dead: its lock is ours."""
        return record.holder == self._holder and not self._taken_before

    def _take(self, before: LeaseRecord | None, etag: str) -> None:
        record = LeaseRecord(
            holder=self._holder,
            name=self._name,
            term=max(before.term if before is not None else 0, self._highest_term, self._lowest_term()) + 1,
            nonce=os.urandom(8).hex(),
            released=False,
            renewed_at=now(),
        )
        began = self._hold_clock()
        try:
            if etag:
                self._objects.replace(KEY, encode(record), expected_etag=etag)
            else:
                self._objects.write(KEY, encode(record), only_if_absent=True)
        except PreconditionFailedError:
            self._seen = None
            return
        if self._wrote(record, began):
            self._taken_before, self._epoch = True, record.term
            self._show(LeaseState("active", self._name, record.term))
            logger.info("this updater is active", extra={"term": record.term})

    def _renew(self) -> bool:
        """Renew; False when another updater has taken over, which ends this one's time."""
        if self._record is None:
            return False
        record = self._record.model_copy(update={"nonce": os.urandom(8).hex(), "renewed_at": now()})
        began = self._hold_clock()
        try:
            self._objects.replace(KEY, encode(record), expected_etag=self._etag)
        except PreconditionFailedError:
            # The answer to an earlier renewal may have been lost, so that the tag is not the one remembered.
            return self._wrote(self._record, None)
        return self._wrote(record, began)

    def _wrote(self, record: LeaseRecord, began: float | None) -> bool:
        """Read back what was written: the tag that is told for it may be that of a later write."""
        try:
            etag = self._objects.stat(KEY).etag
        except ObjectNotFoundError:
            self._lose(None)
            return False
        there = self._read()
        if there is None or (there.holder, there.term) != (record.holder, record.term):
            if self._record is not None:
                logger.warning("another updater has taken over", extra={"holder": there.name if there else "-"})
            self._lose(there)
            return False
        self._record, self._etag = there, etag
        if began is not None:
            self._renewed_at = began
            self._safe_until = began + self._seconds * SAFE_SHARE
        return True

    def _lose(self, record: LeaseRecord | None) -> None:
        self._record, self._safe_until, self._seen = None, 0.0, None
        self._stand_by(record)

    def _stand_by(self, record: LeaseRecord | None) -> None:
        state = LeaseState("standby", None, None)
        if record is not None:
            state = LeaseState("standby", record.name, record.term)
        self._show(state)

    def _read(self) -> LeaseRecord | None:
        """The lease; None where there is none, or what is there was not written by an updater."""
        try:
            return parse(LeaseRecord, self._objects.read(KEY, limit=LIMIT), KEY, "it is written again")
        except ObjectNotFoundError:
            return None
        except CorruptVersionError as error:
            logger.warning("%s", error)
            return None

    def _show(self, state: LeaseState) -> None:
        with self._changed:
            self._highest_term = max(self._highest_term, state.term or 0)
            self._state = state
            self._changed.notify_all()
