import numpy as np
import pytest

from lucir_core.errors import DataError
from lucir_core.frozen.analytic import fit_ridge, unit_rows
from lucir_core.frozen.intervals import FRESH, accuracy_interval, wilson


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
    assert accuracy_interval(81 / 263, [100, 163], left_out=False) == wilson(81, 263)
    for left_out in (False, True):
        assert accuracy_interval(0.0, [0, 0], left_out=left_out) == wilson(0, 0)


@pytest.mark.parametrize("images", [3, 5, 20, 45])
def test_left_out_answers_tell_where_fresh_images_will_be(images: int) -> None:
    """Classes of made features, some hard and some easy; 50 draws of each number of images."""
    held, widths = [], []
    for seed in range(50):
        random = np.random.default_rng(seed)
        centres = random.normal(size=(6, 32))
        learnt, fresh = (np.repeat(np.arange(6), each) for each in (images, FRESH))
        noise = random.uniform(0.8, 2.0)
        seen, asked = (
            unit_rows((centres[labels] + noise * random.normal(size=(len(labels), 32))).astype(np.float32))
            for labels in (learnt, fresh)
        )
        fit = fit_ridge(seen, learnt, 6)
        shown = float((fit.left_out.argmax(axis=1) == learnt).mean())
        found = float(((asked @ fit.weights.T + fit.bias).argmax(axis=1) == fresh).mean())
        interval = accuracy_interval(shown, [images] * 6, left_out=True)
        held.append(interval.low <= found <= interval.high)
        widths.append(interval.high - interval.low)
    assert np.mean(held) >= 0.93
    assert np.mean(widths) < (0.5 if images < 20 else 0.25)


def test_more_right_than_there_are_is_refused() -> None:
    with pytest.raises(DataError, match="5 of 4"):
        wilson(5, 4)
