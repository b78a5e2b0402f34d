"""What ``/api/status`` tells of a running update: the time that it still takes, and figures for experts apart."""

import time

import pytest

from handlers.updater.pace import Pace
from handlers.updater.status import Phase, Status

NOT_A_TIME = {"eta", "lambda", "losses", "loss_history"}
"""Figures of earlier releases that stood among the rest; ``eta`` was taken for the time left."""


def test_time_left_follows_the_pace_of_the_running_phase() -> None:
    pace = Pace()
    for at, ratio in ((0.0, 0.0), (10.0, 0.01)):
        pace.report(ratio, at)
        assert pace.left(at) is None
    pace.report(0.2, 20.0)
    assert pace.left(20.0) == pytest.approx(80.0)  # 0.2 in 20 seconds
    assert pace.left(50.0) == pytest.approx(50.0)
    assert pace.left(101.0) is None  # overdue: nobody can tell
    pace.report(0.05, 110.0)  # another phase
    assert pace.left(110.0) is None
    pace.report(0.55, 120.0)
    assert pace.left(120.0) == pytest.approx(9.0)
    pace.report(1.0, 130.0)
    assert pace.left(130.0) is None


def test_what_an_earlier_process_has_done_says_nothing_of_the_pace() -> None:
    pace = Pace()
    pace.report(0.8, 100.0)
    assert pace.left(101.0) is None
    pace.report(0.9, 130.0)
    assert pace.left(130.0) == pytest.approx(30.0)


def test_a_phase_tells_its_time_left_and_keeps_inner_figures_apart() -> None:
    status = Status("file:///nowhere")
    status.set_phase(Phase(update="000002", pace=Pace(began=(0.0, time.monotonic() - 60.0))))
    assert status.snapshot()["phase"]["seconds_left"] is None
    status.update_phase(progress=0.4, losses={"less_forget": 0.5}, lambda_=2.0, eta=9.5)
    phase = status.snapshot()["phase"]
    assert phase["seconds_left"] == pytest.approx(90.0, abs=5)
    assert phase["expert"] == {
        "losses": {"less_forget": 0.5},
        "loss_history": [],
        "less_forget_weight": 2.0,
        "cosine_scale": 9.5,
    }
    assert not NOT_A_TIME & phase.keys()


def test_a_failure_that_comes_again_is_one_entry_whatever_came_between() -> None:
    status = Status("file:///store")
    for where, message in (("store", "full"), ("machine", "full"), ("store", "full"), ("machine", "full"), ("a", "b")):
        status.add_error(where, message)
    told = [(one["where"], one["message"], one["count"]) for one in status.snapshot()["errors"]]
    assert told == [("a", "b", 1), ("machine", "full", 2), ("store", "full", 2)]
