import numpy as np
import pytest

from lucir_core.errors import ConfigError, DataError
from lucir_core.frozen.unknown import choose_threshold, left_out_unknown_scores, unknown_rates, unknown_scores

CENTRES = np.random.default_rng(1).normal(size=(8, 30))


def images(classes: range, each: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    labels = np.repeat(np.array(classes), each)
    noise = np.random.default_rng(seed).normal(size=(len(labels), 30))
    return (CENTRES[labels] + 0.5 * noise).astype(np.float32), labels


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def test_left_out_scores_are_those_of_means_made_without_the_image() -> None:
    features, labels = images(range(3), 5, seed=2)
    scores = left_out_unknown_scores(features, labels)
    for row in range(len(labels)):
        rest = np.arange(len(labels)) != row
        means = np.stack([unit(features[rest & (labels == label)]).mean(axis=0) for label in range(3)])
        assert scores[row] == pytest.approx(unknown_scores(features[row : row + 1], means)[0], abs=1e-6)


def test_an_image_alone_in_its_class_is_compared_with_the_others() -> None:
    features, labels = images(range(2), 4, seed=3)
    scores = left_out_unknown_scores(features[:5], labels[:5])  # four of class 0, one of class 1
    assert scores[4] == pytest.approx(unknown_scores(features[4:5], unit(features[:4]).mean(axis=0)[None])[0])
    assert left_out_unknown_scores(features[:1], labels[:1]).tolist() == [2.0]


def test_known_images_pass_and_others_are_found() -> None:
    features, labels = images(range(5), 40, seed=4)
    threshold = choose_threshold(left_out_unknown_scores(features, labels))
    means = np.stack([unit(features[labels == label]).mean(axis=0) for label in range(5)]).astype(np.float32)
    fresh, strangers = images(range(5), 40, seed=5)[0], images(range(5, 8), 40, seed=6)[0]
    rates = unknown_rates(threshold, unknown_scores(fresh, means), unknown_scores(strangers, means))
    assert rates.false_alarms < 0.1
    assert rates.found is not None
    assert rates.found > 0.95
    assert (rates.known_images, rates.unknown_images) == (200, 120)


@pytest.mark.parametrize(("count", "above"), [(1, 0), (19, 0), (20, 1), (100, 5)])
def test_at_most_five_in_a_hundred_are_false_alarms(count: int, above: int) -> None:
    scores = np.random.default_rng(0).random(count)
    rates = unknown_rates(choose_threshold(scores), scores, scores[:0])
    assert rates.false_alarms == pytest.approx(above / count)
    assert rates.found is None


def test_what_cannot_be_told_is_refused() -> None:
    with pytest.raises(DataError, match="without known images"):
        choose_threshold(np.zeros(0))
    with pytest.raises(ConfigError, match="false_alarms is 1"):
        choose_threshold(np.zeros(3), 1.0)
    with pytest.raises(DataError, match="no class mean"):
        unknown_scores(np.ones((1, 3), np.float32), np.ones((0, 3), np.float32))
