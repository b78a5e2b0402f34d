import numpy as np
import pytest

from lucir_core.errors import ConfigError, DataError
from lucir_core.frozen.ridge_stats import RidgeStats, choose_ridge, loo_scores, random_expansion, with_one

DIM, CLASSES, RIDGE = 12, 4, 0.3


def images(seed: int = 0, count: int = 60) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(count) % CLASSES)
    centres = np.random.default_rng(99).normal(size=(CLASSES, DIM))
    features = (centres[labels] + 0.7 * rng.normal(size=(count, DIM))).astype(np.float32)
    return features / np.linalg.norm(features, axis=1, keepdims=True), labels


def stats(features: np.ndarray, labels: np.ndarray) -> RidgeStats:
    return RidgeStats.empty(DIM, CLASSES).add(features, labels)


def test_the_order_of_drops_does_not_matter() -> None:
    features, labels = images()
    whole = stats(features, labels)
    for order in ([0, 1, 2, 3], [3, 1, 0, 2]):
        dropped = RidgeStats.empty(DIM, CLASSES)
        for label in order:
            dropped = dropped.add(features[labels == label], labels[labels == label])
        np.testing.assert_allclose(dropped.weights(RIDGE), whole.weights(RIDGE), atol=1e-10)


def test_a_removed_image_was_never_there() -> None:
    features, labels = images()
    removed = stats(features, labels).remove(features[7:9], labels[7:9])
    kept = np.delete(np.arange(len(labels)), [7, 8])
    np.testing.assert_allclose(removed.weights(RIDGE), stats(features[kept], labels[kept]).weights(RIDGE), atol=1e-10)


def test_a_removed_class_was_never_there() -> None:
    features, labels = images()
    removed = stats(features, labels).without_classes({1}, features, labels)
    kept = labels != 1
    moved = np.array([0, -1, 1, 2])[labels[kept]]
    fresh = RidgeStats.empty(DIM, CLASSES - 1).add(features[kept], moved)
    np.testing.assert_allclose(removed.weights(RIDGE), fresh.weights(RIDGE), atol=1e-10)
    assert removed.counts.tolist() == [15, 15, 15]


def test_two_stores_are_joined_by_addition() -> None:
    first, second = images(1), images(2)
    joined = stats(*first).union(stats(*second))
    both = stats(np.concatenate([first[0], second[0]]), np.concatenate([first[1], second[1]]))
    np.testing.assert_allclose(joined.weights(RIDGE), both.weights(RIDGE), atol=1e-10)


def test_a_new_class_starts_empty_and_leaves_the_others_as_they_were() -> None:
    features, labels = images()
    wider = stats(features, labels).with_classes(CLASSES + 1)
    assert wider.counts.tolist() == [15, 15, 15, 15, 0]
    np.testing.assert_array_equal(wider.weights(RIDGE)[:CLASSES], stats(features, labels).weights(RIDGE))
    with pytest.raises(DataError, match="5 classes already"):
        wider.with_classes(4)


def test_left_out_scores_are_those_of_as_many_fits() -> None:
    features, labels = images()
    closed = loo_scores(features, labels, CLASSES, RIDGE)
    for row in range(len(labels)):
        kept = np.arange(len(labels)) != row
        weights = stats(features[kept], labels[kept]).weights(RIDGE)
        np.testing.assert_allclose(closed[row], (with_one(features[row : row + 1]) @ weights.T)[0], atol=1e-9)


def test_the_strength_with_the_fewest_left_out_mistakes_is_chosen() -> None:
    features, labels = images(count=24)
    mistakes = {
        ridge: int((loo_scores(features, labels, CLASSES, ridge).argmax(1) != labels).sum()) for ridge in (1e-6, 0.3)
    }
    assert mistakes[choose_ridge(features, labels, (1e-6, 0.3))] == min(mistakes.values())


def test_expansion_divides_what_no_plane_divides() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(400, 2)).astype(np.float32)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    labels = (features[:, 0] * features[:, 1] > 0).astype(np.int64)  # exclusive or
    plain = (loo_scores(features, labels, 2, 0.1).argmax(1) == labels).mean()
    wide = random_expansion(features, 200, seed=1)
    assert plain < 0.7
    assert (loo_scores(wide, labels, 2, 0.1).argmax(1) == labels).mean() > 0.95
    np.testing.assert_array_equal(wide, random_expansion(features, 200, seed=1))


def test_what_does_not_fit_is_refused_by_name() -> None:
    features, labels = images()
    known = stats(features, labels)
    with pytest.raises(DataError, match="class 0 has 15 images and 30"):
        known.remove(np.repeat(features[labels == 0], 2, axis=0), np.zeros(30, np.int64))
    with pytest.raises(DataError, match="14 of them were not given"):
        known.without_classes({2}, features[labels == 2][:1], np.array([2]))
    with pytest.raises(DataError, match="one row of 12"):
        known.add(features[:, :3], labels)
    with pytest.raises(DataError, match="labels go from 4"):
        known.add(features[:1], np.array([4]))
    with pytest.raises(DataError, match="same backbone"):
        known.union(RidgeStats.empty(DIM + 1, CLASSES))
    with pytest.raises(ConfigError, match="ridge is 0"):
        known.weights(0)
    with pytest.raises(ConfigError, match="width is 0"):
        random_expansion(features, 0, seed=1)
    with pytest.raises(DataError, match="without images"):
        choose_ridge(features[:0], labels[:0])
