import itertools

from handlers.torchserve.attempts import (
    FIRST_PAUSE_SECONDS,
    LONGEST_PAUSE_SECONDS,
    MOST_ATTEMPTS,
    RARE_SECONDS,
    STARTUP_SECONDS,
    STEADY_SECONDS,
    WORKER_DEATHS,
    Attempts,
)
from tests.support.clock import Clock


def test_pauses_grow_and_a_version_is_tried_rarely_then() -> None:
    clock = Clock(1000.0)
    attempts = Attempts(clock)
    pauses = []
    for _ in range(MOST_ATTEMPTS - 1):
        assert attempts.may_try(2)
        attempts.failed(2, "broken")
        begun = clock.now
        while not attempts.may_try(2):
            clock.now += 1
        pauses.append(clock.now - begun)
    assert pauses[0] == FIRST_PAUSE_SECONDS
    assert all(later == min(2 * earlier, LONGEST_PAUSE_SECONDS) for earlier, later in itertools.pairwise(pauses))
    assert "trying again" in attempts.message(2)
    for failures in (MOST_ATTEMPTS, MOST_ATTEMPTS + 1):
        attempts.failed(2, "still broken")
        expected = f"version 2 cannot be served ({failures} attempts, tried every 10 minutes): still broken"
        assert attempts.message(2) == expected
        clock.now += RARE_SECONDS - 1
        assert not attempts.may_try(2)
        clock.now += 1
        assert attempts.may_try(2)


def test_failures_of_different_days_do_not_add_up() -> None:
    clock = Clock(1000.0)
    attempts = Attempts(clock)
    for _ in range(2 * MOST_ATTEMPTS):
        attempts.failed(2, "late")
        clock.now += STEADY_SECONDS
    assert attempts.may_try(2)
    assert "(1 attempt, trying again)" in attempts.message(2)


def test_failures_of_one_version_say_nothing_of_another_and_another_wish_forgets() -> None:
    attempts = Attempts(Clock(1000.0))
    attempts.failed(2, "broken")
    assert (attempts.may_try(1), attempts.message(1)) == (True, "")
    attempts.forget()
    assert (attempts.may_try(2), attempts.message(2)) == (True, "")


def test_slow_start_is_overdue() -> None:
    clock = Clock(1000.0)
    attempts = Attempts(clock)
    attempts.begin(1)
    clock.now += STARTUP_SECONDS
    assert attempts.overdue(1, frozenset({17})) == ""
    clock.now += 1
    assert "not ready" in attempts.overdue(1, frozenset({17}))


def test_dying_workers_are_counted_by_their_process_ids() -> None:
    attempts = Attempts(Clock(1000.0))
    attempts.begin(1)
    for pid in range(1, WORKER_DEATHS + 1):
        assert attempts.overdue(1, frozenset({pid})) == ""
        assert attempts.overdue(1, frozenset({pid, None})) == ""
    assert "died" in attempts.overdue(1, frozenset({99}))


def test_many_workers_are_not_taken_for_dead_ones() -> None:
    attempts = Attempts(Clock(1000.0))
    attempts.begin(1)
    begun = frozenset(range(1, 17))
    assert attempts.overdue(1, begun) == ""
    assert attempts.overdue(1, begun - {1} | {17}) == ""
    assert attempts.overdue(1) == ""
    assert attempts.overdue(1, begun - {1, 2} | {17, 18}) == ""
    assert attempts.overdue(1, begun - {1, 2, 3} | {17, 18, 19}) == "3 of its workers died while starting"


def test_arrival_ends_the_count() -> None:
    attempts = Attempts(Clock(1000.0))
    attempts.begin(1)
    for pid in range(WORKER_DEATHS):
        attempts.overdue(1, frozenset({pid + 1}))
    attempts.arrived(1)
    assert attempts.overdue(1, frozenset({50})) == ""


def test_postponing_is_no_failure() -> None:
    clock = Clock(1000.0)
    attempts = Attempts(clock)
    for _ in range(2 * MOST_ATTEMPTS):
        attempts.postpone(1)
        assert not attempts.may_try(1)
        clock.now += FIRST_PAUSE_SECONDS
        assert attempts.may_try(1)
    assert attempts.message(1) == ""
