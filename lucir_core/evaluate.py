"""The arithmetic of evaluation, on arrays of labels and predictions: numpy only.

Class labels are output positions, old classes first. Shares are 0 to 1.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lucir_core.errors import DataError


@dataclass(frozen=True)
class Accuracy:
    """Top-1 accuracies; None for a group without images."""

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


def forgetting_by_group(best_before: Sequence[float], now: Sequence[float]) -> float:
    """Forgetting as the papers report it: mean over groups of the best earlier accuracy minus the present one.

    One pair of accuracies for each group of classes that an earlier phase learnt; every group weighs the same, however
    many classes and images it has. Negative where old classes became better; 0 without groups.
    Source: Chaudhry et al., "Riemannian walk for incremental learning", ECCV 2018, section 3.2, a task being a phase.
    """
    if len(best_before) != len(now):
        raise DataError(f"{len(best_before)} earlier and {len(now)} present accuracies: give one pair per group")
    return float(np.mean(np.asarray(best_before) - np.asarray(now))) if len(now) else 0.0


def forgetting_by_class(best_before: Mapping[str, float], now: Mapping[str, float]) -> float:
    """Forgetting of a served version: mean over single classes of the best earlier accuracy minus the present one.

    best_before: the best accuracy of each old class so far; now: the accuracies of this version. Both by class name; a
    class that stands in one of them only (new, removed, without test images now) is left out. Every class weighs the
    same, so the figure survives phases of different sizes and edits that regroup classes. 0 without common classes.
    Source: the measure of `forgetting_by_group` with each class as a group of its own. With accuracy averaged over
    classes before the best is taken, that function gives less or the same: the best of a mean is at most the mean of
    the bests.
    """
    falls = [best - now[name] for name, best in best_before.items() if name in now]
    return float(np.mean(falls)) if falls else 0.0


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
