"""The arithmetic of evaluation, on arrays of labels and predictions: numpy only.

Class labels are output positions, old classes first. Shares are 0 to 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lucir_core.errors import DataError


@dataclass(frozen=True)
class Accuracy:
    """Top-1 shares; None where there are no such images."""

    all: float
    old: float | None
    new: float | None


def accuracy(labels: np.ndarray, predictions: np.ndarray, old_count: int) -> Accuracy:
    """Over all images, over those of old classes (label < old_count) and of new ones."""
    _check(labels, predictions)
    right = labels == predictions
    old = labels < old_count
    return Accuracy(
        float(right.mean()),
        float(right[old].mean()) if old.any() else None,
        float(right[~old].mean()) if (~old).any() else None,
    )


def confusion_matrix(labels: np.ndarray, predictions: np.ndarray, class_count: int) -> np.ndarray:
    """(classes, classes) counts, [true class, predicted class]."""
    _check(labels, predictions)
    matrix = np.zeros((class_count, class_count), np.int64)
    np.add.at(matrix, (labels, predictions), 1)
    return matrix


def class_accuracy(confusion: np.ndarray) -> np.ndarray:
    """(classes,) share of each class's images that are right; NaN for a class without images."""
    counts = confusion.sum(axis=1)
    return np.where(counts > 0, np.diagonal(confusion) / np.maximum(counts, 1), np.nan)


def old_as_new(labels: np.ndarray, predictions: np.ndarray, old_count: int) -> float | None:
    """Share of old-class images that are taken for a new class; None without old images."""
    _check(labels, predictions)
    old = labels < old_count
    return float((predictions[old] >= old_count).mean()) if old.any() else None


def average_incremental_accuracy(curve: Sequence[float]) -> float:
    """Plain mean over all phases, phase 0 included: the headline figure of LUCIR, DER, PODNet and others."""
    if not curve:
        raise DataError("the average of no phase is not defined: give at least one accuracy")
    return float(np.mean(curve))


def forgetting(best_before: Sequence[float], now: Sequence[float]) -> float:
    """Mean over class groups of the best earlier accuracy minus the present one; 0 without groups."""
    if len(best_before) != len(now):
        raise DataError(f"{len(best_before)} earlier and {len(now)} present accuracies: give one pair per group")
    return float(np.mean(np.asarray(best_before) - np.asarray(now))) if len(now) else 0.0


def group_accuracies(confusion: np.ndarray, phase_sizes: Sequence[int]) -> list[float]:
    """Accuracy over the classes of each phase; phases without classes are left out."""
    shares, start = [], 0
    for size in phase_sizes:
        group = confusion[start : start + size]
        if group.sum():
            shares.append(float(np.diagonal(confusion)[start : start + size].sum() / group.sum()))
        start += size
    return shares


def _check(labels: np.ndarray, predictions: np.ndarray) -> None:
    if labels.shape != predictions.shape or labels.size == 0:
        raise DataError(f"{labels.size} labels and {predictions.size} predictions: give one prediction per image, >= 1")
