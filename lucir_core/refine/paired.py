"""Which of two versions is better, by their answers to the same images, and by how much, however few there are."""

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lucir_core.errors import DataError
from lucir_core.frozen.intervals import NORMAL_95, Interval

TAIL = 40
"""One in so many on either side of what 95 % hold. A whole number: powers of two are compared with it."""
HALVINGS = 50
"""Of the interval -1 to 1 in the search for a bound: to 1e-15."""


@dataclass(frozen=True)
class PairedDifference:
    """Shares are 0 to 1; the interval is of `after - before` and holds it with a probability of about 95 %."""

    images: int
    before: float
    after: float
    better: int
    """Images that were answered wrongly before and are answered rightly after."""
    worse: int
    """The other way round."""
    interval: Interval

    @property
    def difference(self) -> float:
        """Of the shares that are right."""
        return (self.better - self.worse) / self.images

    @property
    def is_surely_better(self) -> bool:
        """Whether the interval lies above zero: just where the exact McNemar test says so (one-sided, 2.5 %)."""
        return self.interval.low > 0.0

    def __str__(self) -> str:
        low, high = 100 * self.interval.low, 100 * self.interval.high
        return (
            f"{self.after:.1%} against {self.before:.1%} on {self.images} images, difference "
            f"{100 * self.difference:+.1f} ({low:+.1f} to {high:+.1f})"
        )


def compare_paired(before: NDArray[np.bool_], after: NDArray[np.bool_]) -> PairedDifference:
    """before, after: (n,) whether each image is answered rightly. Raises DataError without images.

    Images that both answer alike say nothing of which is better. Of the others each is better or worse like the toss
    of a coin if the two are equally good: that is the exact test (McNemar, Psychometrika 12, 1947). How large the
    difference is depends on how many others there are, too, which is as uncertain: the interval is the score interval
    of Tango (Statistics in Medicine 17, 1998), which keeps its promise where few images differ. It is an approximation,
    and lies above zero a little early; there it is widened to hold what the exact test cannot rule out.
    """
    if len(before) != len(after) or not len(before):
        raise DataError(f"{len(before)} and {len(after)} answers cannot be compared: give both to the same images")
    better, worse, count = int((after & ~before).sum()), int((before & ~after).sum()), len(before)
    low = _where(lambda difference: _score(better, worse, count, difference) <= NORMAL_95)
    high = _where(lambda difference: _score(better, worse, count, difference) <= -NORMAL_95)
    if not _exceeds(better, worse):
        low = min(low, 0.0)
    if not _exceeds(worse, better):
        high = max(high, 0.0)
    return PairedDifference(count, float(before.mean()), float(after.mean()), better, worse, Interval(low, high))


def _exceeds(more: int, less: int) -> bool:
    """Whether at least `more` heads in `more + less` tosses of a coin come at most once in `TAIL` times."""
    tosses = more + less
    return TAIL * sum(math.comb(tosses, heads) for heads in range(more, tosses + 1)) <= 1 << tosses


def _score(better: int, worse: int, count: int, difference: float) -> float:
    """What was observed above what `difference` leads to, in standard deviations under it; falls with `difference`.

    The deviation takes the most likely share of worse images that goes with that difference.
    """
    half = (better + worse - (2 * count - better + worse) * difference) / 2
    root = math.sqrt(max(0.0, half * half + 2 * count * worse * difference * (1 - difference)))
    share = (half + root) / (2 * count)
    variance = count * (2 * share + difference * (1 - difference))
    return (better - worse - count * difference) / math.sqrt(max(variance, sys.float_info.min))


def _where(holds: Callable[[float], bool]) -> float:
    """The difference from which on `holds` is true, which it is from there to 1."""
    low, high = -1.0, 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return low
