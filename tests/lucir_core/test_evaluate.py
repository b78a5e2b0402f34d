import numpy as np
import pytest

from lucir_core.errors import DataError
from lucir_core.evaluate import (
    accuracy,
    average_incremental_accuracy,
    confusion_matrix,
    forgetting_by_class,
    forgetting_by_group,
    group_accuracies,
    old_as_new,
)

LABELS = np.array([0, 0, 1, 1, 2, 2, 2, 2])
PREDICTIONS = np.array([0, 2, 1, 0, 2, 2, 2, 1])


def test_average_incremental_accuracy_of_a_published_curve() -> None:
    # A public reproduction of LUCIR at five phases; its printed average is 63.45.
    curve = [76.86, 69.62, 64.64, 59.26, 55.92, 54.41]
    assert average_incremental_accuracy(curve) == pytest.approx(63.45, abs=0.005)


def test_accuracy_split_into_old_and_new() -> None:
    result = accuracy(LABELS, PREDICTIONS, 2)
    assert (result.all, result.old, result.new) == (5 / 8, 2 / 4, 3 / 4)
    assert accuracy(LABELS, PREDICTIONS, 0).old is None
    assert accuracy(LABELS, PREDICTIONS, 3).new is None


def test_confusion_and_group_accuracies() -> None:
    matrix = confusion_matrix(LABELS, PREDICTIONS, 4)
    assert matrix.tolist() == [[1, 0, 1, 0], [1, 1, 0, 0], [0, 1, 3, 0], [0, 0, 0, 0]]
    assert group_accuracies(matrix, (2, 1, 1)) == [0.5, 0.75]


def test_old_taken_for_new() -> None:
    assert old_as_new(LABELS, PREDICTIONS, 2) == 1 / 4
    assert old_as_new(LABELS, PREDICTIONS, 0) is None


def test_forgetting_by_group_is_the_mean_fall_from_the_best() -> None:
    assert forgetting_by_group([0.9, 0.8], [0.7, 0.85]) == pytest.approx((0.2 - 0.05) / 2)
    assert forgetting_by_group([], []) == 0.0
    with pytest.raises(DataError, match="2 earlier and 1 present"):
        forgetting_by_group([0.9, 0.8], [0.7])


def test_forgetting_by_class_leaves_out_what_has_no_pair() -> None:
    best = {"cat": 0.9, "dog": 0.8, "removed": 1.0}
    assert forgetting_by_class(best, {"cat": 0.7, "dog": 0.85, "new": 0.1}) == pytest.approx((0.2 - 0.05) / 2)
    assert forgetting_by_class(best, {"new": 0.5}) == 0.0


def test_the_two_kinds_of_forgetting_differ() -> None:
    # One group of two classes whose bests were reached by different versions.
    history = [{"cat": 0.9, "dog": 0.5}, {"cat": 0.5, "dog": 0.9}]
    now = {"cat": 0.6, "dog": 0.6}
    best_of_group = max(sum(shares.values()) / 2 for shares in history)
    best_of_class = {name: max(shares[name] for shares in history) for name in now}
    assert forgetting_by_group([best_of_group], [0.6]) == pytest.approx(0.1)
    assert forgetting_by_class(best_of_class, now) == pytest.approx(0.3)


def test_nothing_to_evaluate() -> None:
    with pytest.raises(DataError, match="0 labels"):
        accuracy(np.zeros(0, int), np.zeros(0, int), 1)
    with pytest.raises(DataError):
        average_incremental_accuracy([])
