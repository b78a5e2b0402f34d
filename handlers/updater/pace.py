"""How long a running phase still takes, by how fast its progress has grown."""

from dataclasses import dataclass

LEAST_GROWN = 0.02
"""Progress before time left is told: less says nothing yet."""


@dataclass
class Pace:
    """Told of each progress; times are seconds of one clock that never goes back."""

    began: tuple[float, float] | None = None
    """(progress, time) of the first one: what an earlier process has done tells nothing of this machine's pace."""
    latest: tuple[float, float] | None = None
    """(progress, time) of the newest one."""

    def report(self, ratio: float, at: float) -> None:
        """The progress, 0 to 1, at a time. One that has fallen is the first of another phase."""
        fell = self.latest is not None and ratio < self.latest[0]
        if self.began is None or fell:
            self.began = (ratio, at)
        self.latest = (ratio, at)

    def left(self, at: float) -> float | None:
        """Seconds from ``at`` until the progress is 1; None before enough is known, at the end, and when overdue."""
        if self.began is None or self.latest is None or self.latest[0] >= 1.0:
            return None
        grown = self.latest[0] - self.began[0]
        if grown < LEAST_GROWN:
            return None
        rest = (1.0 - self.latest[0]) * (self.latest[1] - self.began[1]) / grown
        left = rest - (at - self.latest[1])
        return left if left > 0 else None
