"""How often a version has been tried, and when it may be tried again."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from handlers.backoff import backoff

STARTUP_SECONDS: Final = 60.0
"""Longest that workers may take to become ready; TorchServe itself gives up after 120."""
WORKER_DEATHS: Final = 3
"""Workers that may die while a version starts, before it counts as failed: a bad version dies each time."""
MOST_ATTEMPTS: Final = 5
FIRST_PAUSE_SECONDS: Final = 5.0
LONGEST_PAUSE_SECONDS: Final = 120.0
RARE_SECONDS: Final = 600.0
STEADY_SECONDS: Final = 3600.0
"""What failed so long ago has no part in what fails now: late answers of a busy hour must not add up over weeks."""


@dataclass(slots=True)
class _Record:
    started: float | None = None
    pids: set[int] = field(default_factory=set)
    failures: int = 0
    failed_at: float = 0.0
    not_before: float = 0.0
    reason: str = ""


class Attempts:
    """Retries with growing pauses; after ``MOST_ATTEMPTS`` a version is tried rarely, until another one is wanted.

    A bad one costs little then; one that failed for what the machine could not do for a while is served in the end.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._records: dict[int, _Record] = {}

    def forget(self) -> None:
        """Another version is wanted: everything may be tried again."""
        self._records.clear()

    def begin(self, version: int) -> None:
        """Workers of ``version`` were asked for."""
        record = self._record(version)
        record.started = self._clock()
        record.pids.clear()

    def arrived(self, version: int) -> None:
        """The workers are ready, and answer."""
        record = self._record(version)
        record.started = None
        record.pids.clear()

    def overdue(self, version: int, pids: frozenset[int | None] = frozenset()) -> str:
        """What is wrong with a version whose workers, now these, are not ready; empty while it may still get there.

        Without ``pids`` only the time counts.
        """
        record = self._record(version)
        if record.started is None:
            record.started = self._clock()
        record.pids |= {pid for pid in pids if pid is not None and pid > 0}
        if pids and (deaths := len(record.pids - pids)) >= WORKER_DEATHS:
            return f"{deaths} of its workers died while starting"
        if self._clock() - record.started > STARTUP_SECONDS:
            return f"its workers were not ready within {STARTUP_SECONDS:.0f} s"
        return ""

    def failed(self, version: int, reason: str) -> None:
        """An attempt has failed; the next one has to wait."""
        record, now = self._record(version), self._clock()
        record.failures = 1 if now >= record.failed_at + STEADY_SECONDS else record.failures + 1
        record.failed_at = now
        record.started = None
        record.pids.clear()
        record.reason = reason
        rarely = record.failures >= MOST_ATTEMPTS
        pause = RARE_SECONDS if rarely else backoff(record.failures, FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS)
        record.not_before = now + pause

    def postpone(self, version: int) -> None:
        """Nothing could be tried, through no fault of ``version``."""
        self._record(version).not_before = self._clock() + FIRST_PAUSE_SECONDS

    def may_try(self, version: int) -> bool:
        """Whether ``version`` may be tried now."""
        return self._clock() >= self._record(version).not_before

    def message(self, version: int) -> str:
        """Why ``version`` is not served, for a person; empty when it never failed."""
        record = self._record(version)
        if not record.failures:
            return ""
        rest = "trying again" if record.failures < MOST_ATTEMPTS else f"tried every {RARE_SECONDS / 60:.0f} minutes"
        count = f"{record.failures} attempt{'s' if record.failures > 1 else ''}"
        return f"version {version} cannot be served ({count}, {rest}): {record.reason}"

    def _record(self, version: int) -> _Record:
        return self._records.setdefault(version, _Record())
