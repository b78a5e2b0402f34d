"""What is odd about a set of labelled images, by their neighbours in feature space.

Images that look mislabelled, the same image in two classes, and classes that will be taken for one another. Measured
with EfficientNet-Lite0 on 16 classes of photographs, a fifth of the labels exchanged, margin 0.4, mean of four draws:
95 / 85 / 93 / 98 % of the exchanged images are named with 5 / 10 / 20 / 60 images per class, and of the others
1.2 / 1.2 / 0.4 / 0.5 %. With 3 per class 15 % of the others are named: too few to trust.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lucir_core.errors import ConfigError, DataError

NEIGHBOURS = 10
"""Neighbours that vote; fewer where classes are smaller, never under 3."""
MARGIN = 0.4
"""How much more of the votes another class has than the own one before an image is named."""
SHARPNESS = 4
"""Votes weigh cosine to this power, so that a close neighbour counts more than a far one."""
DUPLICATE_COSINE = 0.97
"""From this cosine on two images are taken for the same one: cut, resized or saved again."""
LOOKALIKE_SHARE = 0.1
"""Of the votes on the images of two classes, the share for the wrong one from which on the pair is named."""
ROWS = 1024
"""Rows that are compared with all others at a time: 80 MB for 10,000 images."""

Features = NDArray[np.float32]
Labels = NDArray[np.int64]
Shares = NDArray[np.float64]


@dataclass(frozen=True)
class Suspect:
    """An image whose neighbours have another label."""

    row: int
    label: int
    looks_like: int
    """The class with the most votes."""
    margin: float
    """Its share of the votes less that of the own class, 0 to 1."""


@dataclass(frozen=True)
class Duplicate:
    """Two images of different classes that look the same."""

    first: int
    second: int
    cosine: float


@dataclass(frozen=True)
class Lookalike:
    """Two classes that will be taken for one another; label < other."""

    label: int
    other: int
    share: float
    """Of the neighbours' votes on the images of both classes, the share that goes to the wrong one of the two."""


def neighbour_votes(features: Features, labels: Labels, class_count: int, asked: Labels | None = None) -> Shares:
    """(n, classes) share of the votes that each class has among an image's nearest neighbours; rows sum to 1.

    features: (n, dim) of any length, labels: (n,); asked: (m,) rows to vote on, for (m, classes).
    Raises DataError for fewer than 2 images.
    """
    if len(features) != len(labels):
        raise DataError(f"there are {len(features)} features for {len(labels)} labels: give one of each per image")
    if len(labels) < 2:
        raise DataError(f"{len(labels)} image has no neighbours: give at least two images")
    sizes = np.unique(labels, return_counts=True)[1]
    count = min(NEIGHBOURS, max(3, int(np.median(sizes))), len(labels) - 1)
    asked = np.arange(len(labels)) if asked is None else asked
    units, votes = _unit(features), np.zeros((len(asked), class_count))
    for places in _chunks(len(asked)):
        rows = asked[places]
        cosines = units[rows] @ units.T
        cosines[np.arange(len(rows)), rows] = -np.inf
        nearest = np.argpartition(-cosines, count - 1, axis=1)[:, :count]
        weights = np.maximum(np.take_along_axis(cosines, nearest, axis=1), 1e-6) ** SHARPNESS
        np.add.at(votes, (np.repeat(places, count), labels[nearest].ravel()), weights.ravel())
    shares: Shares = votes / votes.sum(axis=1, keepdims=True)
    return shares


def mislabelled(votes: Shares, labels: Labels, margin: float = MARGIN) -> list[Suspect]:
    """Images that look mislabelled, the clearest first; votes: what `neighbour_votes` returned for these labels."""
    if not 0.0 <= margin <= 1.0:
        raise ConfigError(f"margin is {margin}: give a share of the votes from 0 to 1, for instance 0.4")
    best = votes.argmax(axis=1)
    lead = votes.max(axis=1) - votes[np.arange(len(labels)), labels]
    rows = np.flatnonzero(lead > margin)
    order = rows[np.argsort(-lead[rows], kind="stable")]
    return [Suspect(int(row), int(labels[row]), int(best[row]), float(lead[row])) for row in order]


def duplicates_across_classes(features: Features, labels: Labels) -> list[Duplicate]:
    """Pairs of images that look the same and have different labels, the closest first; first < second."""
    units, pairs = _unit(features), list[Duplicate]()
    for rows in _chunks(len(labels)):
        cosines = units[rows] @ units.T
        for place, second in zip(*np.nonzero(cosines >= DUPLICATE_COSINE), strict=True):
            first = int(rows[place])
            if first < second and labels[first] != labels[second]:
                pairs.append(Duplicate(first, int(second), float(cosines[place, second])))
    return sorted(pairs, key=lambda pair: -pair.cosine)


def duplicates_between(features: Features, others: Features) -> list[Duplicate]:
    """Images (first) that look like one of `others` (second), whatever their labels: for images held out to evaluate.

    For each image its closest one among `others`; the closest pair first.
    """
    if not len(others):
        return []
    units, targets, pairs = _unit(features), _unit(others), list[Duplicate]()
    for rows in _chunks(len(features)):
        cosines = units[rows] @ targets.T
        closest = cosines.argmax(axis=1)
        values = cosines[np.arange(len(rows)), closest]
        for place in np.flatnonzero(values >= DUPLICATE_COSINE):
            pairs.append(Duplicate(int(rows[place]), int(closest[place]), float(values[place])))
    return sorted(pairs, key=lambda pair: -pair.cosine)


def lookalikes(votes: Shares, labels: Labels) -> list[Lookalike]:
    """Pairs of classes with at least `LOOKALIKE_SHARE` of wrong votes between them, the worst first."""
    class_count = votes.shape[1]
    given = np.zeros((class_count, class_count))
    np.add.at(given, labels, votes)
    own = np.diagonal(given)
    wrong = np.triu(given + given.T, 1)
    shares = wrong / np.maximum(wrong + own[:, None] + own, 1e-300)
    found = zip(*np.nonzero((wrong > 0) & (shares >= LOOKALIKE_SHARE)), strict=True)
    pairs = [Lookalike(int(label), int(other), float(shares[label, other])) for label, other in found]
    return sorted(pairs, key=lambda pair: -pair.share)


def _unit(features: Features) -> Features:
    length = np.sqrt(np.einsum("ij,ij->i", features, features))
    units: Features = (features / np.maximum(length, 1e-12)[:, None]).astype(np.float32, copy=False)
    return units


def _chunks(count: int) -> Iterator[NDArray[np.int64]]:
    for start in range(0, count, ROWS):
        yield np.arange(start, min(start + ROWS, count))
