"""Images of no known class: those that lie far from every class mean, by a threshold set on the known images.

The score is 1 - cosine to the nearest class mean, 0 (the mean itself) to 2. For an image that a mean was made from, the
mean of its own class is taken without it, or every known image would look too familiar.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lucir_core.errors import ConfigError, DataError

FALSE_ALARMS = 0.05
"""Share of known images that may be called unknown."""

Features = NDArray[np.float32]
Labels = NDArray[np.int64]
Scores = NDArray[np.float64]


@dataclass(frozen=True)
class UnknownRates:
    """What a threshold does, as shares of the images it was measured on."""

    threshold: float
    false_alarms: float
    """Share of known images above the threshold."""
    known_images: int
    found: float | None
    """Share of unknown images above it; None without any."""
    unknown_images: int


def unknown_scores(features: Features, means: Features) -> Scores:
    """(n,) scores; features: (n, dim) of images that no mean was made from, means: (classes, dim); any lengths."""
    if not len(means):
        raise DataError("there is no class mean: learn at least one class before asking for unknown images")
    cosines = _unit(features) @ _unit(means).T
    return np.asarray(1.0 - cosines.max(axis=1))


def left_out_unknown_scores(features: Features, labels: Labels) -> Scores:
    """(n,) scores of the images that the means are made from, each without itself; labels: (n,).

    An image alone in its class is compared with the other classes; an image without any other has score 2.
    """
    units = _unit(features)
    classes, own = np.unique(labels, return_inverse=True)
    sums = np.zeros((len(classes), units.shape[1]))
    np.add.at(sums, own, units)
    cosines = units @ _unit(sums).T
    rest = sums[own] - units
    rows = np.arange(len(units))
    alone = np.bincount(own, minlength=len(classes))[own] == 1
    cosines[rows, own] = np.where(alone, -1.0, (units * _unit(rest)).sum(axis=1))
    return np.asarray(1.0 - cosines.max(axis=1))


def choose_threshold(known_scores: Scores, false_alarms: float = FALSE_ALARMS) -> float:
    """The smallest score such that at most this share of the known images lies above it.

    Raises DataError without images, ConfigError for a share outside 0 to 1.
    """
    if not len(known_scores):
        raise DataError("a threshold cannot be set without known images: give at least one")
    if not 0.0 <= false_alarms < 1.0:
        raise ConfigError(f"false_alarms is {false_alarms}: give a share from 0 to below 1, for instance 0.05")
    allowed = int(np.floor(false_alarms * len(known_scores) + 1e-9))
    return float(np.sort(known_scores)[len(known_scores) - 1 - allowed])


def unknown_rates(threshold: float, known_scores: Scores, unknown_scores_: Scores) -> UnknownRates:
    """The rates of a threshold; an image is called unknown when its score is above."""
    return UnknownRates(
        threshold=threshold,
        false_alarms=float((known_scores > threshold).mean()) if len(known_scores) else 0.0,
        known_images=len(known_scores),
        found=float((unknown_scores_ > threshold).mean()) if len(unknown_scores_) else None,
        unknown_images=len(unknown_scores_),
    )


def _unit(rows: NDArray[np.floating]) -> NDArray[np.float64]:
    values = rows.astype(np.float64)
    units: NDArray[np.float64] = values / np.maximum(np.linalg.norm(values, axis=-1, keepdims=True), 1e-12)
    return units
