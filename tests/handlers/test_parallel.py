"""Several at a time, in order; and the pause after a failure."""

import threading
from collections.abc import Iterator

import pytest

from handlers.backoff import backoff
from handlers.parallel import AHEAD, ordered_map
from tests.support.waiting import PATIENCE


def test_results_come_in_order_and_several_are_under_way() -> None:
    together = threading.Barrier(3, timeout=PATIENCE)

    def work(number: int) -> int:
        together.wait()
        return -number

    assert list(ordered_map(work, range(9), workers=3)) == [-number for number in range(9)]


def test_it_never_runs_far_ahead_of_its_consumer() -> None:
    taken = 0

    def items() -> Iterator[int]:
        nonlocal taken
        for number in range(1000):
            taken += 1
            yield number

    results = ordered_map(str, items(), workers=2)
    assert next(results) == "0"
    assert taken == 2 * AHEAD


def test_an_error_reaches_the_consumer() -> None:
    with pytest.raises(ZeroDivisionError):
        list(ordered_map(lambda number: 1 // number, (1, 0, 1), workers=2))


def test_pauses_double_up_to_the_limit() -> None:
    assert [backoff(failures, 1.0, 10.0) for failures in range(1, 7)] == [1, 2, 4, 8, 10, 10]
    assert backoff(10_000, 0.5, 60.0) == 60.0
    assert backoff(1, 5.0, 2.0) == 2.0
