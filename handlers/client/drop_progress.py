"""Following a drop until the version that learnt it is served.

The end is read from the store, where each finished update is a durable fact; the updater's status shows the progress.
"""

import math
import time
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import httpx

from handlers.bucket.edit_requests import EditDesk
from handlers.bucket.update_documents import Done, Plan
from handlers.bucket.updates import UPDATES, UpdateRecords
from handlers.client.addresses import open_http
from handlers.client.errors import ClientError
from handlers.client.visible import visible
from model_store.objects import ObjectStore

POLL_SECONDS = 0.5
TROUBLE_SECONDS = 15.0
"""How long what the updater met is told: it tries again, and meets it again, more often than that."""
IMAGE_STAGES = ("features", "maps")
"""Of learning: what they count is images."""


@dataclass
class Outcome:
    """What became of a drop; ``version`` is the newest that learnt from it."""

    version: int | None = None
    seconds: float = 0.0
    provisional: int | None = None
    """The version that answered for the new classes until then, where one did."""
    provisional_seconds: float | None = None
    rejected: list[tuple[str, str]] = field(default_factory=list)
    failure: str = ""
    note: str = ""
    """What is to be known of a published version: too few images to tell what it is worth."""

    def document(self) -> dict[str, Any]:
        """For ``--json``."""
        return {**asdict(self), "rejected": [{"key": key, "reason": reason} for key, reason in self.rejected]}


class DropTracker:
    """Which of a drop's objects the finished updates have decided on."""

    def __init__(self, objects: ObjectStore, keys: Collection[str]) -> None:
        self._objects = objects
        self._records = UpdateRecords(objects)
        self._open = set(keys)
        self._finished: set[str] = set()
        self._first = int(self._records.latest() or 0)
        self.outcome = Outcome()

    def look(self) -> bool:
        """Read the updates that ended since the last look; True when every object has been decided on."""
        for name in self._objects.folders(UPDATES):
            # The newest one when the drop began may have taken it up already.
            if not name.isdecimal() or int(name) < self._first or name in self._finished:
                continue
            done = self._records.done(name)
            if done is None:
                continue
            self._finished.add(name)
            plan = self._records.plan(name)
            if plan is not None:
                self._take(plan, done)
        return not self._open or bool(self.outcome.failure)

    def holds(self, update_id: str) -> bool:
        """Whether the running update has planned anything of the drop."""
        plan = self._records.plan(update_id)
        return plan is not None and any(entry.key in self._open for entry in plan.entries)

    def _take(self, plan: Plan, done: Done) -> None:
        # What a superseded update rejected is rejected; the rest is planned again.
        planned = plan.entries if done.result != "superseded" else plan.of_role("rejected")
        mine = [entry for entry in planned if entry.key in self._open]
        if not mine:
            return
        self._open -= {entry.key for entry in mine}
        self.outcome.rejected += [(entry.key, entry.reason or "") for entry in mine if entry.role == "rejected"]
        if done.result == "superseded":
            return
        if done.result == "published":
            self.outcome.version, self.outcome.note = done.version, done.reason or ""
        elif done.result == "rejected":
            self.outcome.failure = "every file of it was refused"
        else:
            self.outcome.failure = f"update {done.id} ended as {done.result}: {done.reason or 'no reason is recorded'}"


@dataclass(frozen=True)
class DropProgress:
    """How far a drop is. The last one of a drop has its ``outcome``."""

    text: str
    """What is going on, in a few words."""
    ratio: float
    """Of the running phase, 0 to 1."""
    seconds: float
    """Since the following began."""
    left: float | None = None
    """Seconds until the running phase is learnt, as far as its progress so far tells; None where it does not."""
    provisional: int | None = None
    """A provisional version that answers for the new classes until they are learnt."""
    outcome: Outcome | None = None


def follow(objects: ObjectStore, url: str, keys: Collection[str], timeout: float) -> Iterator[DropProgress]:
    """What happens until every object of ``keys`` is decided on and the version is served, twice a second.

    url: the updater's. Raises ``ClientError`` after ``timeout`` seconds; the drop goes on without this process.
    """
    started = time.monotonic()
    tracker, trouble = DropTracker(objects, keys), _Trouble()
    # On a small machine this process must not take from what is being learnt: one connection, few questions.
    with open_http(url) as session:
        while True:
            decided = tracker.look()
            status = _status(session)
            outcome = tracker.outcome
            seconds = time.monotonic() - started
            if decided and (outcome.failure or outcome.version is None or _serves(status, outcome.version)):
                outcome.seconds = seconds
                yield DropProgress("done", 1.0, seconds, 0.0, outcome.provisional, outcome)
                return
            if answering := _provisional(tracker, status):
                outcome.provisional, outcome.provisional_seconds = answering, seconds
            text = describe(status) + trouble.of(status)
            if seconds > timeout:
                raise ClientError(f"not learnt after {timeout:.0f} s ({text}); it goes on without waiting")
            ratio, left = _how_far(status)
            yield DropProgress(text, ratio, seconds, left, outcome.provisional)
            time.sleep(POLL_SECONDS)


def follow_request(desk: EditDesk, url: str, request_id: str, timeout: float) -> Iterator[DropProgress]:
    """The same for a request that learns: until it has ended and its version is served."""
    started, trouble = time.monotonic(), _Trouble()
    with open_http(url) as session:
        while True:
            state, status = desk.state(request_id), _status(session)
            done, seconds = state.done, time.monotonic() - started
            if done is not None and (
                done.result != "published" or done.version is None or _serves(status, done.version)
            ):
                told = "" if done.result == "published" else f"{done.result}: {done.reason or 'no reason is recorded'}"
                note = done.reason or "" if done.result == "published" else ""
                outcome = Outcome(version=done.version, seconds=seconds, failure=told, note=note)
                yield DropProgress("done", 1.0, seconds, 0.0, outcome=outcome)
                return
            text = (describe(status) if state.state == "running" else "waits for its turn") + trouble.of(status)
            if seconds > timeout:
                raise ClientError(f"not done after {timeout:.0f} s ({text}); it goes on without waiting")
            ratio, left = _how_far(status)
            yield DropProgress(text, ratio, seconds, left)
            time.sleep(POLL_SECONDS)


def count_of(phase: dict[str, Any]) -> str:
    """``epoch 3 of 20``; of a stage that takes each image through the network once, ``image 3 of 20``."""
    name = "image" if phase.get("stage") in IMAGE_STAGES else "epoch"
    return f"{name} {phase['epoch']} of {phase['epochs']}"


def describe(status: dict[str, Any] | None) -> str:
    """The running phase, or why folders wait, in a few words."""
    if status is None:
        return "the updater does not answer"
    phase = status.get("phase")
    if phase:
        counted = f", {count_of(phase)}" if phase.get("epochs") else ""
        what = " refines the network" if phase.get("refines") else ""
        return f"update {phase['update']}{what}: {phase['step']}{counted}"
    waiting = status.get("waiting") or []
    reasons = "; ".join(f"{visible(each['class'])}: {each['reason']}" for each in waiting[:3] if each["reason"])
    return f"waiting ({reasons})" if reasons else "waiting"


class _Trouble:
    """What the updater has met lately, since somebody follows it: a full disk, a store that is away."""

    def __init__(self) -> None:
        self._met: dict[str, Any] | None = None
        self._since = -math.inf

    def of(self, status: dict[str, Any] | None) -> str:
        """What to add to the description; empty where it met nothing."""
        if status is None:
            return ""
        newest: dict[str, Any] = next(iter(status.get("errors") or ()), {})
        if self._met is not None and newest != self._met:
            self._since = time.monotonic()
        self._met = newest
        recent = time.monotonic() - self._since < TROUBLE_SECONDS
        return f"; trouble: {visible(newest['message'])}" if recent and newest else ""


def _status(session: httpx.Client) -> dict[str, Any] | None:
    try:
        document: dict[str, Any] = session.get("/api/status").raise_for_status().json()
    except (httpx.HTTPError, ValueError):  # it may be restarting
        return None
    return document


def _provisional(tracker: DropTracker, status: dict[str, Any] | None) -> int | None:
    """The provisional version of the drop's update, when it is served and that has not been told yet."""
    phase = status.get("phase") if status else None
    number: int | None = phase.get("provisional") if phase else None
    if status is None or phase is None or number is None or tracker.outcome.provisional is not None:
        return None
    return number if status["served_version"] == number and tracker.holds(phase["update"]) else None


def _serves(status: dict[str, Any] | None, version: int) -> bool:
    """Whether ``version``, or one after it, is served."""
    served = status.get("served_version") if status else None
    return served is not None and served >= version


def _how_far(status: dict[str, Any] | None) -> tuple[float, float | None]:
    """(progress of the running phase, seconds that it still takes)."""
    phase = (status.get("phase") if status else None) or {}
    return float(phase.get("progress") or 0.0), phase.get("seconds_left")
