"""Which of two versions is better, by their answers to the same images: exact, however few images there are."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lucir_core.errors import DataError
from lucir_core.frozen.intervals import Interval, wilson

TAIL = 0.025
"""On either side of a 95 % interval."""
HALVINGS = 50
"""Of the interval 0 to 1 in the search for a bound: to 1e-15."""


@dataclass(frozen=True)
class PairedDifference:
    """Shares are 0 to 1; the interval is of `after - before` and holds it with a probability of 95 %."""

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
        """Whether the interval lies above zero: what the exact McNemar test says at 2.5 %, one-sided."""
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
    of a coin if the two are equally good (McNemar, Psychometrika 12, 1947): the interval is the one of Clopper and
    Pearson (Biometrika 26, 1934) for the share of better ones among them, times how many of all images they are.
    """
    if len(before) != len(after) or not len(before):
        raise DataError(f"{len(before)} and {len(after)} answers cannot be compared: give both to the same images")
    better, worse = int((after & ~before).sum()), int((before & ~after).sum())
    others, count = better + worse, len(before)
    if others:
        low = 0.0 if not better else _where(lambda share: _at_least(better, others, share) > TAIL)
        high = 1.0 if not worse else 1.0 - _where(lambda share: _at_least(worse, others, share) > TAIL)
        interval = Interval((2 * low - 1) * others / count, (2 * high - 1) * others / count)
    else:
        bound = wilson(0, count).high
        interval = Interval(-bound, bound)
    return PairedDifference(count, float(before.mean()), float(after.mean()), better, worse, interval)


def _at_least(wanted: int, count: int, share: float) -> float:
    """Probability of `wanted` or more of `count` where each has the probability `share`, above 0 and below 1."""
    logs = math.log(share), math.log1p(-share)
    whole = math.lgamma(count + 1)
    terms = (
        math.exp(whole - math.lgamma(k + 1) - math.lgamma(count - k + 1) + k * logs[0] + (count - k) * logs[1])
        for k in range(wanted, count + 1)
    )
    return math.fsum(terms)


def _where(holds: Callable[[float], bool]) -> float:
    """The share from which on `holds` is true, which rises with the share."""
    low, high = 0.0, 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return low
