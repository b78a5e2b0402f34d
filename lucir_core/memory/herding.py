"""Herding: the images of a class whose running mean of features stays closest to the class mean.

Same rule in iCaRL, LUCIR, DER and PODNet. Features are L2-normalised; the class mean is their plain mean, not
normalised again; sums run in float64.
"""

import numpy as np

from lucir_core.errors import ConfigError

OFFICIAL_TRIES = 1000
"""Picks after which the published loop stops, repeats included."""


def herd(features: np.ndarray, count: int, rule: str = "greedy") -> np.ndarray:
    """Positions of the chosen images, best first; `count` of them, or all where there are fewer.

    features: (images, dim), need not be normalised. `greedy` never picks an image twice. `official` is the published
    loop: it may pick an image again, which changes the running vector but not the list, and it gives up after 1000
    picks, so the list may come out short. Ties go to the first image.
    """
    if rule not in ("greedy", "official"):
        raise ConfigError(f"herding rule {rule!r} is unknown: choose greedy or official")
    features = features.astype(np.float64)
    # A feature of length zero stays zero: it has no direction.
    unit = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    count = min(count, len(unit))
    return _greedy(unit, count) if rule == "greedy" else _official(unit, count)


def _greedy(unit: np.ndarray, count: int) -> np.ndarray:
    mean = unit.mean(axis=0)
    total = np.zeros_like(mean)
    free = np.ones(len(unit), bool)
    picks = np.empty(count, np.int64)
    for step in range(count):
        distance = np.square((total + unit) / (step + 1) - mean).sum(axis=1)
        distance[~free] = np.inf
        picks[step] = distance.argmin()
        total += unit[picks[step]]
        free[picks[step]] = False
    return picks


def _official(unit: np.ndarray, count: int) -> np.ndarray:
    mean = unit.mean(axis=0)
    wanted = mean.copy()
    picks: list[int] = []
    for _ in range(OFFICIAL_TRIES):
        if len(picks) == count:
            break
        best = int((unit @ wanted).argmax())
        if best not in picks:
            picks.append(best)
        wanted += mean - unit[best]
    return np.array(picks, np.int64)
