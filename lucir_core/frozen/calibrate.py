"""From left-out scores to probabilities that mean what they say, and to a bound below which an image is unknown."""

import numpy as np
from numpy.typing import NDArray

TEMPERATURES = np.geomspace(0.04, 1.0, 49)
BINS = 15
FALSE_ALARMS = 0.04
"""Share of known images that may be called unknown: below the 5 % that are promised, for it is an estimate."""
MOST_IMAGES = 2000
"""The temperature is fitted to so many images at most, evenly from all."""
LEAST_IMAGES = 10
"""With fewer left-out images there is no bound for unknown ones."""


def softmax(scores: NDArray[np.floating], temperature: float) -> NDArray[np.float64]:
    """(n, classes) probabilities."""
    scaled = (scores - scores.max(axis=1, keepdims=True)).astype(np.float64) / temperature
    weights = np.exp(scaled)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def fit_temperature(scores: NDArray[np.floating], labels: NDArray[np.int64]) -> float:
    """The temperature with the greatest likelihood of the labels (Guo et al., ICML 2017), from a grid.

    scores: (n, classes) of images that the head did not learn from. Without any: 0.1, a value that fits ridge scores.
    """
    if not len(labels):
        return 0.1
    chosen = np.unique(np.linspace(0, len(labels) - 1, min(len(labels), MOST_IMAGES)).astype(np.int64))
    scores, labels = scores[chosen], labels[chosen]
    rows = np.arange(len(labels))

    def loss(temperature: float) -> float:
        return float(-np.log(np.maximum(softmax(scores, temperature)[rows, labels], 1e-12)).mean())

    return float(min(TEMPERATURES.tolist(), key=loss))


def calibration_error(probabilities: NDArray[np.floating], right: NDArray[np.bool_]) -> float:
    """Expected calibration error: |accuracy - mean probability| over 15 bins of equal width, weighted by their images.

    probabilities: (n,) of the best class; right: (n,). 0 without images.
    """
    if not len(right):
        return 0.0
    bins = np.minimum((probabilities * BINS).astype(np.int64), BINS - 1)
    gaps = np.bincount(bins, right.astype(np.float64) - probabilities, minlength=BINS)
    return float(np.abs(gaps).sum() / len(right))


def known_bound(cosines: NDArray[np.floating]) -> tuple[float, float] | None:
    """(bound, share of images below it) from the cosines (n,) of known images to their nearest class mean."""
    if len(cosines) < LEAST_IMAGES:
        return None
    bound = float(np.quantile(cosines, FALSE_ALARMS))
    return bound, float((cosines < bound).mean())
