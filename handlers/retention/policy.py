"""Which versions stay and which may go: a decision, nothing is done here.

What stays, whatever the numbers in the settings say: the served version, its parent, the one served before it (to which
a rollback goes first), what an unfinished update has made or starts from, the highest number (the next one counts from
it), and what cannot be read. Beyond these: the last ``keep_versions`` learnt versions of the served line, the newest
``keep_versions`` of any line (so that a refused one can still be forced), and what is younger than ``keep_days``.
A provisional version is none of the counted ones: it goes as soon as its update has ended.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from handlers.settings import RetentionSettings
from model_store.documents import CorruptVersionError, VersionNotFoundError
from model_store.manifest import Manifest, Pointer

_NEEDED = "an unfinished update needs it"
_DAMAGED = "damaged: only a person can tell whether it is of use"


@dataclass(frozen=True)
class Facts:
    """What the decision is about. ``numbers`` are complete versions, ascending; ``used`` also those that are not: both
    of one listing, for where listings may be old, another one may not show the highest number.

    ``aside``: number -> keys that attempts have put aside there. ``latest``: the id of the newest update;
    ``unfinished``: the same where it has no end yet; ``needed``: numbers that this one names, complete or not.
    """

    numbers: Sequence[int]
    used: Sequence[int]
    aside: Mapping[int, Sequence[str]]
    pointer: Pointer | None
    latest: str | None
    unfinished: str | None
    needed: Collection[int]
    present: datetime
    manifest: Callable[[int], Manifest]


@dataclass(frozen=True)
class Decision:
    """``remove``: number -> why it may go, in the order of removal. ``keep``: number -> why it must stay."""

    remove: dict[int, str]
    keep: dict[int, str]


def decide(facts: Facts, policy: RetentionSettings, limit: int) -> Decision:
    """At most ``limit`` removals; provisional ones first, then the oldest. Reads few manifests more than that."""
    return _Choice(facts, policy).decide(limit)


class _Choice:
    def __init__(self, facts: Facts, policy: RetentionSettings) -> None:
        self._facts = facts
        self._policy = policy
        self._keep: dict[int, str] = {}
        self._replaced: list[int] = []

    def decide(self, limit: int) -> Decision:
        facts = self._facts
        if not facts.numbers:
            return Decision({}, {})
        self._keep_whatever_the_policy()
        self._keep_line()
        self._keep_newest()
        remove = dict.fromkeys(sorted(self._replaced), "provisional, and its update has ended")
        for number in self._oldest_first():
            if len(remove) >= limit:
                break
            remove.setdefault(number, f"older than the {self._policy.keep_versions} that are kept")
        return Decision(dict(islice(remove.items(), limit)), self._keep)

    def _keep_whatever_the_policy(self) -> None:
        facts = self._facts
        self._hold(max(facts.used, default=0), "the highest number: the next one counts from it")
        for number in facts.needed:
            self._hold(number, _NEEDED)
        if facts.pointer is not None:
            served = self._read(facts.pointer.version)
            self._hold(facts.pointer.version, "served")
            self._hold(facts.pointer.previous, "served before: a rollback goes there first")
            self._hold(served.parent if served is not None else None, "parent of the served version")

    def _keep_line(self) -> None:
        """The learnt ancestors of the served version, itself among them."""
        number = self._facts.pointer.version if self._facts.pointer is not None else None
        left, seen = self._policy.keep_versions, set[int]()
        while number is not None and left > 0 and number not in seen:
            seen.add(number)
            manifest = self._read(number)
            if manifest is None:
                break
            if manifest.kind != "provisional":
                left -= 1
                self._hold(number, f"one of the last {self._policy.keep_versions} of the served line")
            number = manifest.parent

    def _keep_newest(self) -> None:
        """Looks twice as far back for provisional ones: one that was served before is held, until the next but one."""
        facts, left = self._facts, self._policy.keep_versions
        for number in reversed(facts.numbers):
            if left <= -self._policy.keep_versions:
                return
            manifest = self._read(number)
            if manifest is None:
                self._hold(number, _DAMAGED)
            elif manifest.update_id == facts.unfinished:
                self._hold(number, _NEEDED)
            elif manifest.kind == "provisional":
                if number not in self._keep:
                    self._replaced.append(number)
            else:
                left -= 1
                if left >= 0:
                    self._hold(number, f"one of the newest {self._policy.keep_versions}")

    def _oldest_first(self) -> Iterator[int]:
        """What nothing holds, until one is too young: those after it are younger still."""
        youngest = self._facts.present - timedelta(days=self._policy.keep_days)
        for number in self._facts.numbers:
            if number in self._keep:
                continue
            manifest = self._read(number)
            if manifest is None:
                self._hold(number, _DAMAGED)
            elif manifest.kind == "provisional" or manifest.created_at < youngest:
                yield number
            else:
                self._hold(number, f"younger than {self._policy.keep_days:g} days")
                return

    def _hold(self, number: int | None, why: str) -> None:
        """The first reason counts."""
        if number is not None:
            self._keep.setdefault(number, why)

    def _read(self, number: int) -> Manifest | None:
        try:
            return self._facts.manifest(number)
        except (CorruptVersionError, VersionNotFoundError):
            return None
