import numpy as np
import pytest

from lucir_core.errors import DataError
from lucir_core.frozen.intervals import of_share, wilson


@pytest.mark.parametrize(
    ("right", "count", "low", "high"),
    [
        # Newcombe, Statistics in Medicine 17 (1998), table I, method 3 (Wilson without continuity correction).
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (1, 29, 0.0061, 0.1718),
        # Few images, and the ends.
        (0, 0, 0.0, 1.0),
        (0, 20, 0.0, 0.1611),
        (1, 1, 0.2065, 1.0),
    ],
)
def test_known_values(right: int, count: int, low: float, high: float) -> None:
    interval = wilson(right, count)
    assert (round(interval.low, 4), round(interval.high, 4)) == (low, high)


def test_it_holds_the_true_share_about_95_times_in_100() -> None:
    rights = np.random.default_rng(0).binomial(40, 0.9, 4000)
    held = [wilson(int(right), 40).low <= 0.9 <= wilson(int(right), 40).high for right in rights]
    assert 0.93 < np.mean(held) < 0.98


def test_of_a_share_that_was_measured() -> None:
    assert of_share(81 / 263, 263) == wilson(81, 263)
    assert of_share(0.0, 0) == wilson(0, 0)


def test_more_right_than_there_are_is_refused() -> None:
    with pytest.raises(DataError, match="5 of 4"):
        wilson(5, 4)
