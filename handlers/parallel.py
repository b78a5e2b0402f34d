"""How much at a time: a ``map`` over threads for work that waits for a store or a server, and the cores for work that
computes.

A container may see sixty-four cores and be worth two of them: a control group's quota of processor time limits what all
its threads use together, and no library that counts cores looks at it. With as many threads as there are cores a group
has used its share of a period of 0.1 s at once, and stands still for the rest of it, whoever waits.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeVar

MOST_WORKERS = 16
"""As many as an S3 client keeps connections. The work waits for the store more than it computes, even on two cores."""
AHEAD = 3
"""Items per thread that may be under way: a slow one in front does not stop the others."""
_GROUPS: Final = Path("/proc/self/cgroup")
_MOUNTED: Final = Path("/sys/fs/cgroup")

_In = TypeVar("_In")
_Out = TypeVar("_Out")


def ordered_map(function: Callable[[_In], _Out], items: Iterable[_In], workers: int | None = None) -> Iterator[_Out]:
    """``map`` over threads, in order, never more than a few items ahead of the consumer.

    workers: number of threads; by default two per core, from 8 to ``MOST_WORKERS``. Raises what ``function`` raises;
    items that were not begun are then left out.
    """
    workers = workers or min(MOST_WORKERS, max(8, 2 * usable_cores()))
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


def usable_cores() -> int:
    """Those that this process may run on, and no more than its quotas of processor time are worth; at least one."""
    return max(1, min([_seen_cores(), *map(round, _quotas())]))


def few_threads() -> dict[str, str]:
    """The environment of a process that is to keep within its quota: OpenMP and OpenBLAS look here. Empty where none
    counts, for they know better then which cores are two threads of one.
    """
    cores = usable_cores()
    return {"OMP_NUM_THREADS": str(cores)} if cores < _seen_cores() else {}


def _seen_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _quotas() -> Iterator[float]:
    """Of this process's control group and all around it, in cores."""
    for group in _groups():
        with suppress(OSError, ValueError):  # of the second kind: "max 100000", or "200000 100000"
            quota, period = (group / "cpu.max").read_text(encoding="ascii").split()
            yield int(quota) / int(period)
        with suppress(OSError, ValueError):  # of the first kind: -1 is no quota
            quota = (group / "cpu.cfs_quota_us").read_text(encoding="ascii")
            period = (group / "cpu.cfs_period_us").read_text(encoding="ascii")
            if int(quota) > 0:
                yield int(quota) / int(period)


def _groups() -> Iterator[Path]:
    """Folders of this process's control groups that may have a quota; inside a container they begin at its own."""
    try:
        lines = _GROUPS.read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        return
    for line in lines:
        _, controllers, name = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        top = _MOUNTED / controllers
        own = top.joinpath(*(part for part in Path(name).parts if part not in ("/", "..")))
        yield from (own, *(folder for folder in own.parents if folder.is_relative_to(top)))
