"""How far an accuracy may be from another measurement of it: the Wilson interval, and one for left-out answers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from lucir_core.errors import DataError

NORMAL_95 = 1.959963984540054
"""Standard deviations on either side that hold 95 % of a normal distribution."""
FRESH = 20
"""Images of each class in the measurement that the interval of left-out answers speaks of."""


@dataclass(frozen=True)
class Interval:
    """Bounds of a share, 0 to 1."""

    low: float
    high: float


def wilson(right: float, count: float) -> Interval:
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


def accuracy_interval(share: float, images: Sequence[int], *, left_out: bool) -> Interval:
    """The 95 % interval of a share (0 to 1) of images that are right; images: how many of each class were asked.

    Of images that nothing was learnt from, it is where the share of endless images lies. left_out: each was answered by
    a model made without it. Then it is where the share of `FRESH` new images of each class will be found, in whole
    images: with many images to learn from, chance in such a measurement is the larger part. With few of them the model
    that is served knows more than the ones that were asked: of n images of a class each of those lacked one. Mistakes
    become fewer by about (1 - 1/n)^2, which the upper bound allows for, the lower one does not.
    `benchmarks/photos` counts how often the interval held.
    """
    count, classes = sum(images), sum(one > 0 for one in images)
    if not left_out or not count:
        return wilson(round(share * count), count)
    fresh = FRESH * classes
    both = 1.0 / (1.0 / count + 1.0 / fresh)
    remaining = sum((one - 1) ** 2 / one for one in images if one) / count
    low, high = wilson(share * both, both).low, wilson((1.0 - (1.0 - share) * remaining) * both, both).high
    return Interval(math.floor(low * fresh + 1e-9) / fresh, math.ceil(high * fresh - 1e-9) / fresh)
