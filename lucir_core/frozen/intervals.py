"""How far an accuracy may be from what it would be on endless images: the Wilson interval."""

import math
from dataclasses import dataclass

from lucir_core.errors import DataError

NORMAL_95 = 1.959963984540054
"""Standard deviations on either side that hold 95 % of a normal distribution."""


@dataclass(frozen=True)
class Interval:
    """Bounds of a share, 0 to 1."""

    low: float
    high: float


def wilson(right: int, count: int) -> Interval:
    """The interval of the share right / count, with 95 %; of no images everything is possible: 0 to 1.

    Unlike the plain normal interval this one is sound for few images and for shares of 0 and 1.
    Source: E. Wilson, Journal of the American Statistical Association 22 (1927).
    """
    if not 0 <= right <= count:
        raise DataError(f"{right} of {count} images are right: give a number from 0 to {count}")
    if count == 0:
        return Interval(0.0, 1.0)
    share, square = right / count, NORMAL_95**2
    scale = 1.0 + square / count
    middle = (share + square / (2 * count)) / scale
    half = NORMAL_95 / scale * math.sqrt(share * (1.0 - share) / count + square / (4 * count**2))
    low = 0.0 if right == 0 else max(0.0, middle - half)
    high = 1.0 if right == count else min(1.0, middle + half)
    return Interval(low, high)


def of_share(share: float, count: int) -> Interval:
    """The 95 % interval of a share (0 to 1) that was measured on `count` images."""
    return wilson(round(share * count), count)
