"""What ridge regression needs to know of all rows: a Gram matrix and class sums, which new rows are added to.

In the Gram matrix every class counts as the mean of its rows' products, so that rows of one class change nothing of
the others: a new class is one addition, a class with new rows an addition and a subtraction. Whatever takes rows away
begins with nothing again, so that no rounding is left of them.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray

from lucir_core.memory.feature_memory import Moments

Rows = NDArray[np.float64]
Labels = NDArray[np.int64]
RowsOf = Callable[[Labels], Rows]
"""Rows (k, width) at positions (k,)."""

ROWS = 2048
"""Rows that are worked on at a time."""
COLUMNS = 256
"""Columns of the Gram matrix that are computed at a time."""


@contextmanager
def one_thread() -> Iterator[None]:
    """Linear algebra of torch in one thread.

    Threads that wait for each other on cores that others use too took ten seconds for what one does in less than one
    (1,281 columns, two cores).
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def no_moments(width: int) -> Moments:
    """Of no rows."""
    return Moments(np.zeros((width, width)), np.zeros((0, width)), np.zeros(0, np.int64))


def extended(moments: Moments, rows_of: RowsOf, labels: Labels, class_count: int) -> Moments:
    """With the rows that lie behind those that were counted; labels: (n,) of all rows.

    Of a class that is given more rows the earlier ones are asked for again.
    """
    covered = int(moments.counts.sum())
    before = np.concatenate([moments.counts, np.zeros(class_count - len(moments.counts), np.int64)])
    counts = np.bincount(labels, minlength=class_count)
    touched = np.flatnonzero(np.isin(labels, np.unique(labels[covered:])))
    weights = 1.0 / counts[labels[touched]]
    old = touched < covered
    weights[old] -= 1.0 / before[labels[touched[old]]]
    sums = np.concatenate([moments.sums, np.zeros((class_count - len(moments.sums), moments.sums.shape[1]))])
    gram = torch.from_numpy(moments.gram.copy())
    with one_thread():
        for start in range(0, len(touched), ROWS):
            chunk = touched[start : start + ROWS]
            part, new = torch.from_numpy(rows_of(chunk)), torch.from_numpy(chunk >= covered)
            weighted = part * torch.from_numpy(weights[start : start + ROWS, None])
            for first in range(0, len(gram), COLUMNS):  # the lower triangle: the matrix is symmetric
                gram[first:, first : first + COLUMNS] += weighted[:, first:].t() @ part[:, first : first + COLUMNS]
            torch.from_numpy(sums).index_add_(0, torch.from_numpy(labels[chunk])[new], part[new])
    return Moments(gram.numpy(), sums, counts)
