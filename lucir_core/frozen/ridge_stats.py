"""Ridge regression kept as sums: what is added can be taken away again, in any order, without the other images at hand.

The sums are a Gram matrix (dim + 1, dim + 1) and one sum of features per class, in float64. They determine the head:
two stores are joined by adding their sums, an image or a class is removed by subtracting. All images weigh the same;
`lucir_core.frozen.analytic` balances the classes and needs the rows for that.

Sources: M. McDonnell et al., RanPAC, NeurIPS 2023 (ridge regression on frozen features, random expansion);
leave-one-out in closed form: D. Allen, Technometrics 16 (1974), the PRESS statistic.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from lucir_core.errors import ConfigError, DataError

RIDGE_CHOICES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
"""Strengths that `choose_ridge` tries, for features of length one."""

Sums = NDArray[np.float64]
Features = NDArray[np.float32]
Labels = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class RidgeStats:
    """All that ridge regression needs to know of the images it has seen. Every operation returns a new object."""

    gram: Sums
    """(dim + 1, dim + 1) sum of x x^T over all images, x being a feature with a 1 behind it (for the bias)."""
    sums: Sums
    """(classes, dim + 1) sum of x; the last column counts the images."""

    @classmethod
    def empty(cls, dim: int, classes: int) -> Self:
        """No images of `classes` classes."""
        return cls(np.zeros((dim + 1, dim + 1)), np.zeros((classes, dim + 1)))

    @property
    def counts(self) -> Labels:
        """(classes,) number of images."""
        return np.rint(self.sums[:, -1]).astype(np.int64)

    def add(self, features: Features, labels: Labels) -> "RidgeStats":
        """With these images; features: (n, dim), labels: (n,) positions of classes."""
        return self._changed(features, labels, 1.0)

    def remove(self, features: Features, labels: Labels) -> "RidgeStats":
        """Without these images, which must have been added with the same features and labels.

        Raises DataError when a class would have fewer than no images.
        """
        changed = self._changed(features, labels, -1.0)
        if (changed.counts < 0).any():
            label = int(changed.counts.argmin())
            raise DataError(
                f"class {label} has {self.counts[label]} images and {self.counts[label] - changed.counts[label]} were "
                "to be removed: remove only what was added"
            )
        return changed

    def union(self, other: "RidgeStats") -> "RidgeStats":
        """What both have seen; the class lists must be the same. Raises DataError if the shapes differ."""
        if self.sums.shape != other.sums.shape:
            raise DataError(
                f"sums of shape {self.sums.shape} and {other.sums.shape} cannot be added: give both the same classes "
                "and the same backbone"
            )
        return RidgeStats(self.gram + other.gram, self.sums + other.sums)

    def with_classes(self, classes: int) -> "RidgeStats":
        """With room for `classes` classes altogether; the new ones come last and have no images."""
        missing = classes - len(self.sums)
        if missing < 0:
            raise DataError(f"there are {len(self.sums)} classes already: {classes} would drop some of them")
        return RidgeStats(self.gram, np.concatenate([self.sums, np.zeros((missing, self.sums.shape[1]))]))

    def without_classes(self, classes: Collection[int], features: Features, labels: Labels) -> "RidgeStats":
        """Without these classes; the others move up, in their order.

        features, labels: all images of these classes; images of other classes among them are passed over. Raises
        DataError when images of these classes are missing.
        """
        own = np.isin(labels, list(classes))
        rest = self.remove(features[own], labels[own])
        for label in classes:
            if rest.counts[label]:
                raise DataError(
                    f"class {label} has {self.counts[label]} images, {rest.counts[label]} of them were not given: "
                    "give all images of a class that is to be removed"
                )
        kept = [label for label in range(len(self.sums)) if label not in classes]
        return RidgeStats(rest.gram, rest.sums[kept])

    def weights(self, ridge: float) -> Sums:
        """(classes, dim + 1) head for one-hot targets, the bias last. ridge: above 0, in units of squared features."""
        if ridge <= 0:
            raise ConfigError(f"ridge is {ridge}: give a number above 0, for instance 0.3")
        return np.asarray(np.linalg.solve(self.gram + ridge * np.eye(len(self.gram)), self.sums.T).T, np.float64)

    def _changed(self, features: Features, labels: Labels, sign: float) -> "RidgeStats":
        dim, classes = len(self.gram) - 1, len(self.sums)
        if features.ndim != 2 or features.shape[1] != dim or len(features) != len(labels):
            raise DataError(f"features are {features.shape} for {len(labels)} labels: give one row of {dim} per label")
        if len(labels) and not 0 <= labels.min() <= labels.max() < classes:
            raise DataError(f"labels go from {labels.min()} to {labels.max()}: there are {classes} classes, from 0 on")
        inputs = with_one(features)
        sums = self.sums.copy()
        np.add.at(sums, labels, sign * inputs)
        return RidgeStats(self.gram + sign * (inputs.T @ inputs), sums)


def with_one(features: Features) -> Sums:
    """(n, dim + 1) float64: the features with a 1 behind each, so that the last weight is the bias."""
    inputs: Sums = np.ones((len(features), features.shape[1] + 1))
    inputs[:, :-1] = features
    return inputs


def random_expansion(features: Features, width: int, seed: int) -> Features:
    """(n, width) rectified random projections of length one: classes that no plane divides may come apart (RanPAC).

    The projection depends on dim, width and seed alone: use the same ones for all images of a store.
    """
    dim = features.shape[1]
    if width < 1:
        raise ConfigError(f"width is {width}: give 1 or more, for instance 4000")
    projection = np.random.default_rng(seed).standard_normal((dim, width), np.float32)
    expanded = np.maximum(features @ projection, 0.0)
    length = np.linalg.norm(expanded, axis=1, keepdims=True)
    scaled: Features = (expanded / np.maximum(length, 1e-12)).astype(np.float32)
    return scaled


def loo_scores(features: Features, labels: Labels, class_count: int, ridge: float) -> Sums:
    """(n, classes): the scores of each image by the head that has seen all images but this one, without n fits.

    With leverage h = x^T (G + ridge I)^-1 x the score left out is (s - h y) / (1 - h).
    """
    stats = RidgeStats.empty(features.shape[1], class_count).add(features, labels)
    inputs = with_one(features)
    scores: Sums = inputs @ stats.weights(ridge).T
    solved = np.linalg.solve(stats.gram + ridge * np.eye(len(stats.gram)), inputs.T)
    leverage = np.einsum("nd,dn->n", inputs, solved)
    scores[np.arange(len(labels)), labels] -= leverage
    left_out: Sums = scores / (1.0 - leverage)[:, None]
    return left_out


def choose_ridge(features: Features, labels: Labels, choices: tuple[float, ...] = RIDGE_CHOICES) -> float:
    """The strength with the fewest mistakes on left-out images; among equals the smallest squared error.

    features: (n, dim), of length one for the default choices. Raises DataError without images.
    """
    if not len(labels):
        raise DataError("a strength cannot be chosen without images: give at least one per class")
    class_count = int(labels.max()) + 1
    targets = np.eye(class_count)[labels]

    def loss(ridge: float) -> tuple[int, float]:
        scores = loo_scores(features, labels, class_count, ridge)
        return int((scores.argmax(axis=1) != labels).sum()), float(np.square(scores - targets).sum())

    return min(choices, key=loss)
