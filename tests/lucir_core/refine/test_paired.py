"""Which of two versions is better on the same images, and how sure that is."""

import math

import numpy as np
import pytest

from lucir_core.errors import DataError
from lucir_core.refine.paired import PairedDifference, compare_paired


def answers(both: int, better: int, worse: int, neither: int = 0) -> PairedDifference:
    before = [True] * both + [False] * better + [True] * worse + [False] * neither
    after = [True] * both + [True] * better + [False] * worse + [False] * neither
    return compare_paired(np.array(before), np.array(after))


@pytest.mark.parametrize(
    ("better", "worse", "surely"),
    [(5, 0, False), (6, 0, True), (7, 1, False), (8, 1, True), (60, 40, False), (61, 39, True), (0, 6, False)],
)
def test_better_for_sure_is_what_the_exact_test_says(better: int, worse: int, surely: bool) -> None:
    """The two-sided exact McNemar test at 5 %: 6 of 6, 8 of 9 and 61 of 100 are the first that it calls better."""
    assert answers(90, better, worse).is_surely_better is surely


def test_the_interval_is_the_published_one() -> None:
    """Of 21 patients 1 and 7 changed: -0.517 to -0.026 (Fagerland, Lydersen and Laake, Stat. Med. 33, 2014).

    There the exact test finds 7.0 % and does not call it a difference: the interval is widened to hold none.
    """
    found = answers(both=1, better=1, worse=7, neither=12)
    assert (found.images, found.before, found.after) == (21, 8 / 21, 2 / 21)
    assert found.interval.low == pytest.approx(-0.5172, abs=1e-4)
    assert found.interval.high == 0.0
    assert str(answers(both=190, better=8, worse=1, neither=1)) == (
        "99.0% against 95.5% on 200 images, difference +3.5 (+0.7 to +7.3)"
    )


@pytest.mark.parametrize(
    ("images", "better", "worse"),
    [(100, 0.03, 0.0), (60, 0.05, 0.01), (100, 0.02, 0.005), (60, 0.01, 0.01), (40, 0.2, 0.1), (30, 0.3, 0.3)],
)
def test_it_holds_the_true_difference_in_95_of_100_cases(images: int, better: float, worse: float) -> None:
    """Every outcome with its probability; the score interval comes as near as 93 % where few images differ."""
    held = 0.0
    for up in range(images + 1):
        for down in range(images + 1 - up):
            rest = images - up - down
            ways = math.comb(images, up) * math.comb(images - up, down)
            probability = ways * better**up * worse**down * (1 - better - worse) ** rest
            if probability > 1e-7:
                interval = answers(rest, up, down).interval
                held += probability * (interval.low <= better - worse <= interval.high)
    assert held >= 0.93


def test_more_different_answers_leave_no_less_open() -> None:
    widths = [found.high - found.low for found in (answers(100 - some, some, 0).interval for some in range(6))]
    assert widths == sorted(widths)


def test_equal_answers_are_not_better_and_not_certain() -> None:
    found = answers(both=50, better=0, worse=0)
    assert (found.difference, found.is_surely_better) == (0.0, False)
    assert found.interval.low == pytest.approx(-found.interval.high)
    assert found.interval.low < 0.0


def test_nothing_cannot_be_compared() -> None:
    with pytest.raises(DataError, match="0 and 0 answers"):
        answers(0, 0, 0)
    with pytest.raises(DataError, match="2 and 3 answers"):
        compare_paired(np.ones(2, bool), np.ones(3, bool))
