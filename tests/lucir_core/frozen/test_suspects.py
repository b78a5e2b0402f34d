import numpy as np
import pytest

from lucir_core.errors import ConfigError, DataError
from lucir_core.frozen import suspects
from lucir_core.frozen.suspects import (
    duplicates_across_classes,
    duplicates_between,
    lookalikes,
    mislabelled,
    neighbour_votes,
)

CLASSES, DIM = 12, 64


def images(each: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(CLASSES, DIM))
    labels = np.repeat(np.arange(CLASSES), each)
    return (centres[labels] + 0.8 * rng.normal(size=(len(labels), DIM))).astype(np.float32), labels


def exchanged(labels: np.ndarray, share: float, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    given = labels.copy()
    rows = rng.permutation(len(labels))[: int(share * len(labels))]
    given[rows] = (given[rows] + rng.integers(1, CLASSES, len(rows))) % CLASSES
    return given


@pytest.mark.parametrize("each", [8, 20, 60])
def test_a_fifth_exchanged_is_named_and_hardly_anything_else(each: int) -> None:
    features, labels = images(each)
    given = exchanged(labels, 0.2)
    votes = neighbour_votes(features, given, CLASSES)
    found = mislabelled(votes, given)
    wrong = set(np.flatnonzero(given != labels).tolist())
    named = {suspect.row for suspect in found}
    assert len(named & wrong) >= 0.8 * len(wrong)
    assert len(named - wrong) <= 0.05 * len(named)
    assert np.mean([suspect.looks_like == labels[suspect.row] for suspect in found]) > 0.95
    assert len(found) / len(given) == pytest.approx(0.2, abs=0.05)
    assert [suspect.margin for suspect in found] == sorted((suspect.margin for suspect in found), reverse=True)


def test_right_labels_are_left_alone() -> None:
    features, labels = images(20)
    votes = neighbour_votes(features, labels, CLASSES)
    assert mislabelled(votes, labels) == []
    assert lookalikes(votes, labels) == []


def test_votes_do_not_depend_on_how_many_rows_are_compared_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    features, labels = images(10)
    whole = neighbour_votes(features, labels, CLASSES)
    monkeypatch.setattr(suspects, "ROWS", 7)
    np.testing.assert_allclose(neighbour_votes(features, labels, CLASSES), whole, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(whole.sum(axis=1), 1.0)


def test_the_same_image_in_two_classes_is_found_but_not_within_one() -> None:
    features, labels = images(10)
    features[15] = 2 * features[3] + 0.01  # class 1 and class 0; brightness changes the length, not the direction
    features[4] = features[5]
    pairs = duplicates_across_classes(features, labels)
    assert [(pair.first, pair.second) for pair in pairs] == [(3, 15)]
    assert pairs[0].cosine == pytest.approx(1.0, abs=1e-3)


def test_a_learnt_image_among_the_held_out_ones_is_found() -> None:
    features, _ = images(10)
    held_out, _ = images(3, seed=5)
    held_out[2] = features[40]
    assert [(pair.first, pair.second) for pair in duplicates_between(features, held_out)] == [(40, 2)]
    assert duplicates_between(features, held_out[:0]) == []


def test_two_classes_with_the_same_images_are_lookalikes() -> None:
    features, labels = images(20)
    features[labels == 7] = features[labels == 2] + 0.05
    pairs = lookalikes(neighbour_votes(features, labels, CLASSES), labels)
    assert (pairs[0].label, pairs[0].other) == (2, 7)
    assert pairs[0].share > 0.4
    assert len(pairs) == 1


def test_what_cannot_be_compared_is_refused() -> None:
    features, labels = images(2)
    with pytest.raises(DataError, match="1 image has no neighbours"):
        neighbour_votes(features[:1], labels[:1], CLASSES)
    with pytest.raises(DataError, match="24 features for 3 labels"):
        neighbour_votes(features, labels[:3], CLASSES)
    with pytest.raises(ConfigError, match="margin is 2"):
        mislabelled(neighbour_votes(features, labels, CLASSES), labels, 2)
