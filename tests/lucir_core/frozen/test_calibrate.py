"""The bound below which an image is unknown, and what goes into the score."""

import numpy as np
import pytest

from lucir_core.frozen.calibrate import FALSE_ALARMS, known_bound, known_score


def test_few_images_per_class_let_more_left_out_ones_fall_below_the_bound() -> None:
    scores = np.linspace(0.0, 1.0, 1001)
    found = {count: known_bound(scores, count) for count in (3, 5, 20, 1000)}
    shares = [pair[1] for pair in found.values() if pair is not None]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] == pytest.approx(FALSE_ALARMS * 3 / 2, abs=0.002)
    assert shares[-1] == pytest.approx(FALSE_ALARMS, abs=0.002)


def test_there_is_no_bound_from_a_handful_of_images_and_one_from_classes_of_one() -> None:
    assert known_bound(np.linspace(0, 1, 9), 3) is None
    assert known_bound(np.linspace(0, 1, 20), 1) is not None


def test_an_image_is_known_by_both_scores() -> None:
    cosine, ridge = np.array([0.9, 0.9, 0.6]), np.array([0.9, 0.2, 0.9])
    known = known_score(cosine, ridge)
    assert known.argmax() == 0
    assert known[0] == pytest.approx(0.9)
