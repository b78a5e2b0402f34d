"""Ridge regression on features: the head in closed form, and what it says of each image when that image is left out.

The same solution in whatever order images arrive; without an image it is the solution that never saw it. Classes weigh
the same however many images they have: row i of class c weighs n / (classes * n_c), without which a class of 50 images
takes the answers of one with 4. All but that factor's n and number of classes is a sum over classes
(`lucir_core.frozen.moments`), which a drop is added to.
Measured on 16 classes of photographs: 52 images in a third of the classes and 4 in the others, 95.0 % right with
weights, 91.4 without; with as many images in every class the two are the same.

Sources: G. McDonnell et al., RanPAC, NeurIPS 2023 (ridge regression on frozen features for class-incremental learning);
leave-one-out in closed form: D. Allen, Technometrics 16 (1974), the PRESS statistic.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from lucir_core.frozen.moments import ROWS, extended, no_moments, one_thread
from lucir_core.memory.feature_memory import Moments

RIDGES = (0.03, 0.1, 0.3, 1.0, 3.0)
"""Strengths that are tried, for features of length one. They are compared by the error of left-out scores, not by the
number of mistakes: of two or three mistakes chance picks the strength, and another one after the next drop
(`benchmarks/photos/falls.py`)."""
CHOICE_ROWS = 2000
"""The strength is chosen by so many rows at most, evenly from all."""
MANY_ROWS = 5000
"""From so many rows on what is said of left-out rows is computed in float32, in half the time. The head never is. An
error grows by 1 / (1 - leverage), which is large only where rows are few: left-out scores of 20,000 rows of 1,280
numbers are apart by less than 1e-5."""

Rows = NDArray[np.float64]
Numbers = NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class RidgeFit:
    """A head, and its scores of the rows it was made from with each row left out."""

    weights: Rows
    """(classes, dim)"""
    bias: Rows
    """(classes,)"""
    ridge: float
    left_out: NDArray[np.float32]
    """(n, classes): scores of row i by the head that is fitted to all other rows, weights and strength being equal."""


def unit_rows(features: NDArray[np.float32]) -> Rows:
    """(n, dim) features scaled to length one; a feature of length zero stays zero."""
    units: Rows = features.astype(np.float64)
    units /= np.maximum(np.sqrt(np.einsum("ij,ij->i", units, units)), 1e-12)[:, None]
    return units


def near_units(features: NDArray[np.float32]) -> Numbers:
    """`unit_rows`, in what answers to so many left-out rows are computed in."""
    if not are_many(len(features)):
        return unit_rows(features)
    lengths = np.sqrt(np.einsum("ij,ij->i", features, features, dtype=np.float64))
    units: Numbers = features / np.maximum(lengths, 1e-12).astype(np.float32)[:, None]
    return units


def with_one(rows: Rows) -> Rows:
    """(n, dim + 1): rows (n, dim) with the 1 behind each that the bias belongs to."""
    return np.concatenate([rows, np.ones((len(rows), 1))], axis=1)


def class_weights(labels: NDArray[np.int64], class_count: int) -> Rows:
    """(n,) weight of each row: the classes that have rows weigh the same, all rows together n."""
    counts = np.bincount(labels, minlength=class_count)
    weights: Rows = len(labels) / (np.count_nonzero(counts) * np.maximum(counts, 1))
    return weights[labels]


def expanded(units: Rows, projection: torch.Tensor) -> Rows:
    """(n, width) of length one: the positive parts of random projections of units (n, dim), as RanPAC has it.

    projection: (dim, width). Ridge regression then sees products of features too. On photographs and these features it
    gains nothing that could be measured (`benchmarks/photos`), so that it is an option.
    """
    matrix = projection.numpy().astype(np.float64)
    rows: Rows = np.maximum(units @ matrix, 0.0)
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return rows


def fit_ridge(
    units: Numbers,
    labels: NDArray[np.int64],
    class_count: int,
    ridges: tuple[float, ...] = RIDGES,
    moments: Moments | None = None,
    judging: NDArray[np.bool_] | None = None,
) -> RidgeFit:
    """The head for one-hot targets, with the strength whose left-out scores have the least weighted squared error.

    units: (n, dim) of length one; labels: (n,).
    moments: of all rows `with_one`, where they are known; the head is made from them, and `units` only answer.
    judging: (n,) rows that may choose the strength; None, or none of them: all.
    """
    weights = class_weights(labels, class_count)
    if moments is None and len(units) > units.shape[1]:
        none = no_moments(units.shape[1] + 1)
        moments = extended(none, lambda rows: with_one(units[rows].astype(np.float64)), labels, class_count)
    if moments is None:
        inputs = with_one(units.astype(np.float64))
        values, vectors = _products_spectrum(inputs, weights)
        turned = vectors.T @ class_sums(inputs, labels, class_count, weights).T
    else:
        scale = len(labels) / np.count_nonzero(moments.counts)
        values, vectors = _spectrum(moments.gram * scale)
        turned = vectors.T @ (moments.sums * (scale / np.maximum(moments.counts, 1))[:, None]).T
    may = np.arange(len(labels)) if judging is None or not judging.any() else np.flatnonzero(judging)
    chosen = may[np.unique(np.linspace(0, len(may) - 1, min(len(may), CHOICE_ROWS)).astype(np.int64))]
    rotated = units[chosen] @ vectors[:-1] + vectors[-1]
    best = min(ridges, key=lambda ridge: _loss(rotated, turned, values + ridge, labels[chosen], weights[chosen]))
    solution = vectors @ (turned / (values + best)[:, None])
    left_out = _all_left_out(units, vectors, turned, values + best, labels, weights)
    return RidgeFit(solution[:-1].T.copy(), solution[-1].copy(), best, left_out)


def are_many(count: int) -> bool:
    """Whether so many rows are answered in float32, and the sums over them kept for the next drop."""
    return count >= MANY_ROWS


def narrowed(values: Rows, count: int) -> Numbers:
    """The values in what answers to so many left-out rows are computed in."""
    return values.astype(np.float32) if are_many(count) else values


def class_sums(rows: Numbers, labels: NDArray[np.int64], class_count: int, weights: Rows | None = None) -> Rows:
    """(classes, dim) sum of each class's rows (n, dim), each times its weight (n,) where there are any."""
    sums = torch.zeros((class_count, rows.shape[1]), dtype=torch.float64)
    for start in range(0, len(rows), ROWS):
        part = rows[start : start + ROWS].astype(np.float64)
        part = part if weights is None else part * weights[start : start + ROWS, None]
        sums.index_add_(0, torch.from_numpy(labels[start : start + ROWS]), torch.from_numpy(part))
    return sums.numpy()


def _spectrum(gram: Rows) -> tuple[Rows, Rows]:
    """Eigenvalues (dim,), none below 0, and eigenvectors (dim, dim) of a Gram matrix, by its lower triangle."""
    with one_thread():
        values, vectors = torch.linalg.eigh(torch.from_numpy(gram))
    return np.maximum(values.numpy(), 0.0), vectors.numpy()


def _products_spectrum(inputs: Rows, weights: Rows) -> tuple[Rows, Rows]:
    """Of the weighted Gram matrix of n < dim rows (n, dim), by the (n, n) matrix of their products: (k,) and (dim, k).

    The others have eigenvalue 0 and play no part: no row and no sum of rows reaches into their directions.
    """
    with one_thread():
        scaled = torch.from_numpy(inputs * np.sqrt(weights)[:, None])
        squares, mixed = torch.linalg.eigh(scaled @ scaled.t())
        there = squares > 1e-12 * squares.max()
        return squares[there].numpy(), (scaled.t() @ mixed[:, there] / squares[there].sqrt()).numpy()


def _all_left_out(
    units: Numbers, vectors: Rows, turned: Rows, spectrum: Rows, labels: NDArray[np.int64], weights: Rows
) -> NDArray[np.float32]:
    """`_left_out` of all units (n, dim), some at a time."""
    count = len(units)
    axes, sums, values, shares = (narrowed(each, count) for each in (vectors, turned, spectrum, weights))
    scores = np.empty((count, turned.shape[1]), np.float32)
    for start in range(0, count, ROWS):
        rows = slice(start, start + ROWS)
        rotated = units[rows].astype(axes.dtype, copy=False) @ axes[:-1] + axes[-1]
        scores[rows] = _left_out(rotated, sums, values, labels[rows], shares[rows])
    return scores


def _left_out(
    rotated: Numbers, turned: Numbers, spectrum: Numbers, labels: NDArray[np.int64], weights: Numbers
) -> Numbers:
    """Scores (n, classes) of rows that the fit had, each without itself: (s - h y) / (1 - h)."""
    scores: Numbers = rotated @ (turned / spectrum[:, None])
    leverage = np.minimum(weights * (np.square(rotated) @ (1.0 / spectrum)), 1.0 - 1e-6)
    scores[np.arange(len(labels)), labels] -= leverage
    scores /= (1.0 - leverage)[:, None]
    return scores


def _loss(rotated: Rows, turned: Rows, spectrum: Rows, labels: NDArray[np.int64], weights: Rows) -> float:
    """Weighted squared error of the left-out scores."""
    scores = _left_out(rotated, turned, spectrum, labels, weights)
    scores[np.arange(len(labels)), labels] -= 1.0
    return float(weights @ np.square(scores).sum(axis=1))


def class_means(sums: Rows) -> Rows:
    """(classes, dim) mean of each class's rows, of length one, from their sums; zero for a class without rows."""
    means: Rows = sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)
    return means


def left_out_cosines(units: Numbers, labels: NDArray[np.int64], sums: Rows) -> NDArray[np.float32]:
    """(n, classes) cosines of every row to the class means, its own class's mean being made without it.

    sums: (classes, dim) of each class's rows. A row that is alone in its class has cosine -1 to that class.
    """
    alone = np.bincount(labels, minlength=len(sums)) < 2
    means = narrowed(class_means(sums), len(units))
    cosines = np.empty((len(units), len(sums)), np.float32)
    for start in range(0, len(units), ROWS):
        part, own = units[start : start + ROWS], labels[start : start + ROWS]
        cosines[start : start + ROWS] = part.astype(means.dtype, copy=False) @ means.T
        others = sums[own] - part
        length = np.sqrt(np.einsum("ij,ij->i", others, others))
        dot = np.einsum("ij,ij->i", part, others) / np.maximum(length, 1e-12)
        cosines[start + np.arange(len(own)), own] = np.where(alone[own], -1.0, dot)
    return cosines
