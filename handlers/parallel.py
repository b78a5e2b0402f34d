"""Several at a time, in order: a ``map`` over threads for work that waits for a store or a server."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

MOST_WORKERS = 16
"""As many as an S3 client keeps connections. The work waits for the store more than it computes, even on two cores."""
AHEAD = 3
"""Items per thread that may be under way: a slow one in front does not stop the others."""

_In = TypeVar("_In")
_Out = TypeVar("_Out")


def ordered_map(function: Callable[[_In], _Out], items: Iterable[_In], workers: int | None = None) -> Iterator[_Out]:
    """``map`` over threads, in order, never more than a few items ahead of the consumer.

    workers: number of threads; by default two per core, from 8 to ``MOST_WORKERS``. Raises what ``function`` raises;
    items that were not begun are then left out.
    """
    workers = workers or min(MOST_WORKERS, max(8, 2 * (os.cpu_count() or 1)))
    with ThreadPoolExecutor(workers, thread_name_prefix="parallel") as pool:
        pending: deque[Future[_Out]] = deque()
        try:
            for item in items:
                pending.append(pool.submit(function, item))
                if len(pending) >= AHEAD * workers:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()
