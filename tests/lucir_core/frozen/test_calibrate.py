"""The bound below which an image is unknown, and what goes into the score."""

import math
from statistics import NormalDist

import numpy as np
import pytest

from lucir_core.frozen import calibrate
from lucir_core.frozen.calibrate import (
    FALSE_ALARMS,
    TEMPERATURES,
    best_probabilities,
    calibration_error,
    fit_temperature,
    known_bound,
    known_score,
    softmax,
)
from tests.support.present import present


def test_few_images_per_class_let_more_left_out_ones_fall_below_the_bound() -> None:
    scores = np.linspace(0.0, 1.0, 1001)
    found = {count: known_bound(scores, count) for count in (3, 5, 20, 1000)}
    shares = [pair[1] for pair in found.values() if pair is not None]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] == pytest.approx(FALSE_ALARMS * 9 / 4, abs=0.002)
    assert shares[-1] == pytest.approx(FALSE_ALARMS, abs=0.002)


@pytest.mark.parametrize("count", [12, 36, 540])
def test_of_further_images_as_many_are_below_however_few_there_were(count: int) -> None:
    random = np.random.default_rng(count)
    below = []
    for _ in range(3000):
        found = known_bound(random.normal(size=count), 1000)
        assert found is not None
        below.append(normal_share(found[0]))
    # Of 12 images the least one has a thirteenth of all below it: less cannot be told.
    assert np.mean(below) == pytest.approx(max(FALSE_ALARMS, 1 / (count + 1)), rel=0.1)


def bound_of(scores: np.ndarray, images: int, usual: float | None) -> float:
    return present(known_bound(scores, images, usual))[0]


def test_the_bound_of_few_images_is_steadied_by_where_it_usually_is() -> None:
    random = np.random.default_rng(8)
    share = FALSE_ALARMS * 9 / 4
    usual = NormalDist(0, 0.1).inv_cdf(share)
    drawn = random.normal(0, 0.1, size=(500, 36))
    alone = [normal_share(10 * bound_of(scores, 3, None)) for scores in drawn]
    steadied = [normal_share(10 * bound_of(scores, 3, usual)) for scores in drawn]
    assert np.std(steadied) < 0.4 * np.std(alone)
    assert np.mean(steadied) == pytest.approx(share, abs=0.01)


@pytest.mark.parametrize(("images", "most"), [(3, 1.0), (20, 0.1), (45, 0.03)])
def test_many_images_say_where_their_bound_is(images: int, most: float) -> None:
    """most: of the way to the usual bound."""
    scores = np.linspace(0.4, 0.9, 12 * images)
    alone = bound_of(scores, images, None)
    moved = alone - bound_of(scores, images, alone - 0.1)
    assert 0 < moved < 0.1 * most


def test_images_unlike_any_photograph_have_their_own_bound() -> None:
    scores = np.linspace(0.7, 0.8, 36)
    assert bound_of(scores, 3, 0.47) == bound_of(scores, 3, None)
    assert bound_of(scores - 0.2, 3, 0.47) < bound_of(scores - 0.2, 3, None)


def normal_share(bound: float) -> float:
    """Of a normal distribution, below the bound."""
    return 0.5 * math.erfc(-bound / math.sqrt(2))


def test_there_is_no_bound_from_a_handful_of_images_and_one_from_classes_of_one() -> None:
    assert known_bound(np.linspace(0, 1, 9), 3) is None
    assert known_bound(np.linspace(0, 1, 20), 1) is not None


def test_an_image_is_known_by_both_scores() -> None:
    cosine, ridge = np.array([0.9, 0.9, 0.6]), np.array([0.9, 0.2, 0.9])
    known = known_score(cosine, ridge)
    assert known.argmax() == 0
    assert known[0] == pytest.approx(0.9)


@pytest.mark.parametrize(("classes", "noise"), [(4, 0.05), (12, 0.35), (300, 0.12)])
def test_the_temperature_is_the_likeliest_of_the_grid(classes: int, noise: float) -> None:
    random = np.random.default_rng(classes)
    labels = np.arange(600) % classes
    scores = random.normal(0, noise, (600, classes)).astype(np.float32)
    scores[np.arange(600), labels] += 0.5

    def loss(temperature: float) -> float:
        return float(-np.log(softmax(scores, temperature)[np.arange(600), labels]).mean())

    assert fit_temperature(scores, labels) == min(TEMPERATURES.tolist(), key=loss)


def test_many_classes_are_not_told_to_be_unsure() -> None:
    """Right in nearly all of a thousand classes by scores of 0.4 to 0.05: with 0.04 the probability would be 0.9."""
    random = np.random.default_rng(1)
    labels = np.arange(1000)
    scores = random.normal(0.05, 0.02, (1000, 1000)).astype(np.float32)
    scores[labels, labels] += 0.35
    temperature = fit_temperature(scores, labels)
    assert calibration_error(best_probabilities(scores, temperature), scores.argmax(axis=1) == labels) < 0.02


def test_the_best_probability_does_not_depend_on_the_rows_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = np.random.default_rng(2).normal(size=(50, 6)).astype(np.float32)
    monkeypatch.setattr(calibrate, "ROWS", 7)
    np.testing.assert_allclose(best_probabilities(scores, 0.3), softmax(scores, 0.3).max(axis=1), rtol=1e-5)
