"""The pause after a failure: doubled with each failure in a row, up to a limit."""

MOST_DOUBLINGS = 30
"""Enough for every limit in use; keeps the power finite however long something fails."""


def backoff(failures: int, first: float, longest: float) -> float:
    """Seconds to wait after the ``failures``-th failure in a row (from 1): ``first``, then twice as long each time.

    Never more than ``longest``.
    """
    return min(longest, first * 2.0 ** min(max(failures, 1) - 1, MOST_DOUBLINGS))
