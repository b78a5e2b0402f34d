"""The head in closed form: four equalities, and what class weights are for."""

import numpy as np
import pytest
import torch

from lucir_core.frozen import analytic
from lucir_core.frozen.analytic import (
    class_means,
    class_sums,
    class_weights,
    expanded,
    fit_ridge,
    left_out_cosines,
    unit_rows,
)

CLASSES, DIM = 4, 12


@pytest.fixture
def rows() -> tuple[np.ndarray, np.ndarray]:
    """Unit rows (60, 12) around four directions, and labels of unequal frequency."""
    random = np.random.default_rng(3)
    labels = np.repeat(np.arange(CLASSES), (30, 15, 10, 5)).astype(np.int64)
    features = random.normal(size=(CLASSES, DIM))[labels] + 0.8 * random.normal(size=(len(labels), DIM))
    return unit_rows(features.astype(np.float32)), labels


def test_the_order_of_images_makes_no_difference(rows: tuple[np.ndarray, np.ndarray]) -> None:
    units, labels = rows
    order = np.random.default_rng(0).permutation(len(labels))
    one, other = fit_ridge(units, labels, CLASSES), fit_ridge(units[order], labels[order], CLASSES)
    assert one.ridge == other.ridge
    np.testing.assert_allclose(one.weights, other.weights, atol=1e-9)
    np.testing.assert_allclose(one.left_out[order], other.left_out, atol=1e-5)


def test_left_out_scores_are_those_of_a_head_without_the_image(rows: tuple[np.ndarray, np.ndarray]) -> None:
    units, labels = rows
    ridge = 0.3
    fit = fit_ridge(units, labels, CLASSES, (ridge,))
    weights = class_weights(labels, CLASSES)
    inputs = np.concatenate([units, np.ones((len(units), 1))], axis=1)
    for row in (0, 31, 46, 59):
        kept = np.arange(len(labels)) != row
        part = inputs[kept] * weights[kept, None]
        targets = np.eye(CLASSES)[labels[kept]]
        solution = np.linalg.solve(part.T @ inputs[kept] + ridge * np.eye(DIM + 1), part.T @ targets)
        np.testing.assert_allclose(inputs[row] @ solution, fit.left_out[row], atol=1e-5)


def test_the_strength_is_the_one_whose_left_out_scores_are_nearest_to_the_classes() -> None:
    """A count of mistakes would pick another one here."""
    random, labels = np.random.default_rng(6), np.repeat(np.arange(CLASSES), (30, 15, 10, 5)).astype(np.int64)
    features = random.normal(size=(CLASSES, DIM))[labels] + 1.5 * random.normal(size=(len(labels), DIM))
    units = unit_rows(features.astype(np.float32))
    targets, weights = np.eye(CLASSES)[labels], class_weights(labels, CLASSES)
    fits = [fit_ridge(units, labels, CLASSES, (ridge,)) for ridge in analytic.RIDGES]
    errors = [weights @ np.square(fit.left_out - targets).sum(axis=1) for fit in fits]
    mistakes = [weights @ (fit.left_out.argmax(axis=1) != labels) for fit in fits]
    assert np.argmin(errors) != np.argmin(mistakes)
    assert fit_ridge(units, labels, CLASSES).ridge == analytic.RIDGES[int(np.argmin(errors))]


def test_fewer_images_than_features_are_fitted_by_their_products(rows: tuple[np.ndarray, np.ndarray]) -> None:
    units, labels = rows
    wide = expanded(units, torch.from_numpy(np.random.default_rng(1).normal(size=(DIM, 90)).astype(np.float32)))
    assert wide.shape == (60, 90)
    np.testing.assert_allclose(np.linalg.norm(wide, axis=1), 1.0)
    fit = fit_ridge(wide, labels, CLASSES, (0.3,))
    inputs = np.concatenate([wide, np.ones((60, 1))], axis=1)
    part = inputs * class_weights(labels, CLASSES)[:, None]
    solution = np.linalg.solve(part.T @ inputs + 0.3 * np.eye(91), part.T @ np.eye(CLASSES)[labels])
    np.testing.assert_allclose(fit.weights, solution[:-1].T, atol=1e-9)
    np.testing.assert_allclose(fit.bias, solution[-1], atol=1e-9)


def test_left_out_cosines_are_those_to_means_without_the_image(rows: tuple[np.ndarray, np.ndarray]) -> None:
    units, labels = rows
    found = left_out_cosines(units, labels, class_sums(units, labels, CLASSES))
    means_of_all = class_means(class_sums(units, labels, CLASSES))
    for row in (0, 59):
        kept = np.arange(len(labels)) != row
        means = class_means(class_sums(units[kept], labels[kept], CLASSES))
        expected = units[row] @ means.T
        others = np.arange(CLASSES) != labels[row]
        np.testing.assert_allclose(found[row, labels[row]], expected[labels[row]], atol=1e-6)
        np.testing.assert_allclose(found[row, others], (units[row] @ means_of_all.T)[others])


def test_an_image_alone_in_its_class_is_nearest_to_another_one() -> None:
    units = unit_rows(np.eye(3, dtype=np.float32)[[0, 0, 1]])
    labels = np.array([0, 0, 1])
    cosines = left_out_cosines(units, labels, class_sums(units, labels, 2))
    assert cosines[2, 1] == -1.0
    assert cosines[2].argmax() == 0


def test_classes_weigh_the_same_however_many_images_they_have(rows: tuple[np.ndarray, np.ndarray]) -> None:
    labels = rows[1]
    weights = class_weights(labels, CLASSES)
    np.testing.assert_allclose(np.bincount(labels, weights), len(labels) / CLASSES)
    gone = class_weights(labels[labels != 2], CLASSES)
    assert gone.sum() == pytest.approx((labels != 2).sum())


def test_with_many_rows_the_head_is_the_same_and_left_out_answers_nearly(
    rows: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    units, labels = rows
    sums = class_sums(units, labels, CLASSES)
    exact, cosines = fit_ridge(units, labels, CLASSES), left_out_cosines(units, labels, sums)
    monkeypatch.setattr(analytic, "MANY_ROWS", 20)
    monkeypatch.setattr(analytic, "ROWS", 17)
    fast = fit_ridge(units, labels, CLASSES)
    np.testing.assert_allclose(fast.weights, exact.weights, atol=1e-12)
    np.testing.assert_allclose(fast.left_out, exact.left_out, atol=2e-6)
    assert not np.array_equal(fast.left_out, exact.left_out)
    np.testing.assert_allclose(left_out_cosines(units, labels, sums), cosines, atol=1e-6)
