"""Which of two versions is better on the same images, and how sure that is."""

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


def test_the_interval_is_that_of_clopper_and_pearson() -> None:
    found = answers(both=190, better=6, worse=2, neither=2)
    # 6 of 8: 0.34914 to 0.96815, from the tables; times 8 of 200 images.
    assert (found.images, found.before, found.after) == (200, 0.96, 0.98)
    assert found.interval.low == pytest.approx((2 * 0.34914 - 1) * 8 / 200, abs=1e-6)
    assert found.interval.high == pytest.approx((2 * 0.96815 - 1) * 8 / 200, abs=1e-6)
    assert str(found) == "98.0% against 96.0% on 200 images, difference +2.0 (-1.2 to +3.7)"


def test_it_holds_the_true_difference_in_95_of_100_draws() -> None:
    draws, true = np.random.default_rng(0), 0.05
    held = 0
    for _ in range(300):
        kinds = draws.choice(4, 120, p=[0.8, 0.08, 0.03, 0.09])
        found = compare_paired(np.isin(kinds, (0, 2)), np.isin(kinds, (0, 1)))
        held += found.interval.low <= true <= found.interval.high
    assert held >= 0.93 * 300


def test_equal_answers_are_not_better_and_not_certain() -> None:
    found = answers(both=50, better=0, worse=0)
    assert (found.difference, found.is_surely_better) == (0.0, False)
    assert found.interval.low == -found.interval.high < 0.0


def test_nothing_cannot_be_compared() -> None:
    with pytest.raises(DataError, match="0 and 0 answers"):
        answers(0, 0, 0)
    with pytest.raises(DataError, match="2 and 3 answers"):
        compare_paired(np.ones(2, bool), np.ones(3, bool))
