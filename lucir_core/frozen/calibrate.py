"""From left-out scores to probabilities that mean what they say, and to a bound below which an image is unknown."""

import math

import numpy as np
from numpy.typing import NDArray

TEMPERATURES = np.geomspace(0.02, 1.0, 57)
"""A thousand classes ask for half of what a dozen do: the more there are, the smaller a ridge score is."""
BINS = 15
ROWS = 2048
"""Images that are worked on at a time."""
FALSE_ALARMS = 0.043
"""Share of known images that may be called unknown: below the 5 % that are promised, for it is an estimate."""
RIDGE_SHARE = 0.4
"""Weight of the best ridge score beside the cosine to the nearest class mean in "known". Chosen on 16 random choices of
12 known and 4 unknown classes of photographs: with 45 images per class and 5 % false alarms 92.3 % of the unknown ones
are flagged, by the cosine alone 91.4; with 20 92.7 and 91.2, with 5 88.6 and 88.1, with 3 84.4 and 83.0. Shares of 0.2
and 0.7, the nearest 1, 3, 5 and 10 images, means of centred features and a bound per class were no better."""
CONCEPT_SHARE = 0.35
"""Weight of what the backbone's own classifier makes of the image. Chosen on 12 choices of 12 known and 4 unknown
classes of photographs, and on 6 of 12 and 6 of CIFAR-100's. At 5 % false alarms, of the photographs of unknown classes
90.9, 89.9, 88.5 and 85.3 % are flagged with 45, 20, 5 and 3 images per class, without it 90.1, 89.8, 86.8 and 82.0; of
CIFAR-100's 48.8, 43.1, 40.2 and 32.7 % with 40, 20, 5 and 3, without it 45.7, 38.8, 36.8 and 29.5. Shares of 0.2 to 0.7
and temperatures of 0.7 to 1.4 are within a point; logits, and features turned by the classifier's weights, gained
nothing."""
CAPPED_SHARE = 1.5
"""Weight of the cosine of capped features (`lucir_core.models.heads.capped_units`), in place of the first cosine."""
MOST_IMAGES = 2000
"""The temperature is fitted to so many images at most, evenly from all."""
LEAST_IMAGES = 10
"""With fewer left-out images there is no bound for unknown ones."""
USUAL_IMAGES = 500.0
"""Left-out images that the usual bound counts like, divided by the images of a class: 167 with 3, 11 with 45."""
STRANGE = 0.17
"""Farther from the usual bound lies that of images which are no photographs: handwritten digits 0.20 to 0.29 above it;
photographs and CIFAR-100's at most 0.14."""


def softmax(scores: NDArray[np.floating], temperature: float) -> NDArray[np.float64]:
    """(n, classes) probabilities."""
    scaled = (scores - scores.max(axis=1, keepdims=True)).astype(np.float64) / temperature
    weights = np.exp(scaled)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def fit_temperature(scores: NDArray[np.floating], labels: NDArray[np.int64]) -> float:
    """The temperature with the greatest likelihood of the labels (Guo et al., ICML 2017), from a grid.

    scores: (n, classes) of images that the head did not learn from. Without any: 0.1, a value that fits ridge scores.
    The likelihood has one maximum over 1 / temperature, which is found by halving.
    """
    if not len(labels):
        return 0.1
    chosen = np.unique(np.linspace(0, len(labels) - 1, min(len(labels), MOST_IMAGES)).astype(np.int64))
    scores, labels = scores[chosen].astype(np.float64), labels[chosen]
    behind = scores - scores[np.arange(len(labels)), labels][:, None]
    most = behind.max(axis=1, keepdims=True)

    def loss(temperature: float) -> float:
        sums = np.exp((behind - most) / temperature).sum(axis=1)
        return float((np.log(sums) + most[:, 0] / temperature).mean())

    low, high = 0, len(TEMPERATURES) - 1
    while low < high:
        middle = (low + high) // 2
        if loss(TEMPERATURES[middle]) <= loss(TEMPERATURES[middle + 1]):
            high = middle
        else:
            low = middle + 1
    return float(TEMPERATURES[low])


def best_probabilities(scores: NDArray[np.floating], temperature: float) -> NDArray[np.float32]:
    """(n,) probability of the best class; scores: (n, classes), of which a part is worked on at a time."""
    best = np.empty(len(scores), np.float32)
    for start in range(0, len(scores), ROWS):
        part = scores[start : start + ROWS]
        best[start : start + ROWS] = 1.0 / np.exp((part - part.max(axis=1, keepdims=True)) / temperature).sum(axis=1)
    return best


def calibration_error(probabilities: NDArray[np.floating], right: NDArray[np.bool_]) -> float:
    """Expected calibration error: |accuracy - mean probability| over 15 bins of equal width, weighted by their images.

    probabilities: (n,) of the best class; right: (n,). 0 without images.
    """
    if not len(right):
        return 0.0
    bins = np.minimum((probabilities * BINS).astype(np.int64), BINS - 1)
    gaps = np.bincount(bins, right.astype(np.float64) - probabilities, minlength=BINS)
    return float(np.abs(gaps).sum() / len(right))


def known_score(
    cosine: NDArray[np.floating],
    ridge: NDArray[np.floating],
    concept: NDArray[np.floating] | None = None,
    capped: NDArray[np.floating] | None = None,
) -> NDArray[np.float64]:
    """(n,) how much images look like a known class, about 1 for those that do and 0 for others.

    cosine: (n,) to the nearest class mean; ridge: (n,) the best score of ridge regression; concept: (n,) the cosine to
    the nearest class by `lucir_core.frozen.concepts`, where there is one; capped: (n,) the cosine to the nearest mean
    of capped features, which stands for the first where there is one. The served graph does it.
    """
    first, share = (cosine, 1.0) if capped is None else (capped, CAPPED_SHARE)
    total, weights = share * first + RIDGE_SHARE * ridge, share + RIDGE_SHARE
    if concept is not None:
        total, weights = total + CONCEPT_SHARE * concept, weights + CONCEPT_SHARE
    return np.asarray(total / weights, np.float64)


def known_bound(
    scores: NDArray[np.floating], images_per_class: float, usual: float | None = None
) -> tuple[float, float] | None:
    """(bound, share of images below it) from the scores (n,) of known images, each left out when it was scored.

    A class that lacks the image which is asked is known worse than the one that is served. With n images per class the
    share of left-out images below a bound is about 1 / (1 - 1/n)^2 times that of fresh ones; measured: 2.2, 1.6, 1.1
    and 1.0 times with 3, 5, 20 and 45. Of m scores the one of rank r has r / (m + 1) of further such images
    below it, on average (as in conformal prediction: Vovk et al., Algorithmic Learning in a Random World, 2005).

    usual: where the bound is with other images, which counts like `USUAL_IMAGES` / n left-out ones: of 36 of them the
    share below a bound is known to 3 points only. One that is `STRANGE` from the bound of these images counts nothing.
    """
    count, each = len(scores), max(images_per_class, 2.0)
    if count < LEAST_IMAGES:
        return None
    share = FALSE_ALARMS / (1.0 - 1.0 / each) ** 2
    bound = float(np.quantile(scores, min(max((share * (count + 1) - 1.0) / (count - 1), 0.0), 1.0)))
    if usual is not None and abs(bound - usual) < STRANGE:
        bound += (usual - bound) * (USUAL_IMAGES / each) / (count + USUAL_IMAGES / each)
    return bound, float((scores < bound).mean())


def usual_bound(images_per_class: float, classes: int) -> float:
    """Below it are at most 4.3 % of fresh known images, in the mean of many choices of classes: by the features of
    EfficientNet-Lite0 at 224 pixels and all three parts of `known_score`, the first of them capped.

    Fitted to the means of 80 choices each of photographs and of CIFAR-100, of 4 and of 12 classes with 3, 5, 10, 20 and
    45 images. Different as these images are, of 12 classes with 3 and 5 their bounds are 0.004 and 0.008 apart, and at
    most 0.033; the bound from 36 images of one's own is off by 0.03 and more.
    """
    noise, more = math.pow(max(images_per_class, 2.0), -0.75), math.log(classes / 12)
    return 0.5985 - 0.241 * noise - (0.0128 - 0.0234 * noise) * more
