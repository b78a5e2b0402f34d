"""Images of no known class, and labels that were exchanged: how many are found, on random choices of classes."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.photos.folder import Photos, answers, learn
from handlers.demo.photo_baseline import accuracy
from lucir_core.frozen.calibrate import calibration_error
from lucir_core.frozen.intervals import accuracy_interval, wilson
from lucir_core.frozen.suspects import mislabelled, neighbour_votes

SPLITS = range(2001, 2017)
"""Seeds of choices of 12 known and 4 unknown classes; not those that the score was chosen on."""
UNKNOWN_SPLITS = range(3001, 3101)
"""Of images of unlearnt classes more: from one choice to the next the share that is flagged differs by 10 points."""
KNOWN, LEARNT, ASKED, SHARE = 12, 45, 15, 0.2


def _chosen(photos: Photos, seed: int) -> tuple[list[NDArray[np.int64]], NDArray[np.int64]]:
    """The rows of each class, shuffled, the known classes first; and each row's label, -1 for those of others."""
    generator = np.random.default_rng(seed)
    order = [generator.permutation(photos.folders[number]) for number in generator.permutation(len(photos.folders))]
    labels = np.full(len(photos.features), -1, np.int64)
    for label, rows in enumerate(order[:KNOWN]):
        labels[rows] = label
    return order, labels


def unknown(photos: Photos, images: int) -> dict[str, Any]:
    """Shares of images of unlearnt classes that are flagged, and of known ones; ``images`` of each class are learnt."""
    flagged, alarms = [], []
    for seed in UNKNOWN_SPLITS:
        order, labels = _chosen(photos, seed)
        state = learn(
            photos, "analytic", labels, np.concatenate([rows[:images] for rows in order[:KNOWN]]).tolist(), (KNOWN,)
        )
        known = np.concatenate([rows[LEARNT : LEARNT + ASKED] for rows in order[:KNOWN]])
        alarms.append(float(answers(state, photos.features[known])[1].mean()))
        flagged.append(float(answers(state, photos.features[np.concatenate(order[KNOWN:])])[1].mean()))
    summaries = {"flagged": _summary(flagged), "false_alarms": _summary(alarms)}
    return {"images": images, "splits": len(UNKNOWN_SPLITS), **summaries}


def shown(photos: Photos, images: int) -> dict[str, Any]:
    """What page, report and metrics say of a version (left-out images), beside fresh images and beside the baseline.

    ``below``: choices in which the fresh share lies below the 95 % interval of the one that is shown, ``apart``: in
    which the intervals of both do not meet.
    """
    told, fresh, baseline, errors, below, apart = [], [], [], [], 0, 0
    for seed in SPLITS:
        order, labels = _chosen(photos, seed)
        train = np.concatenate([rows[:images] for rows in order[:KNOWN]]).tolist()
        asked = np.concatenate([rows[LEARNT : LEARNT + ASKED] for rows in order[:KNOWN]])
        state = learn(photos, "analytic", labels, train, (KNOWN,))
        memory = state.features
        assert memory is not None  # noqa: S101  # every frozen state has features
        assert memory.answers is not None  # noqa: S101  # and answers to each
        left_out = memory.answers.served == memory.labels
        probabilities, _ = answers(state, photos.features[asked])
        right = probabilities.argmax(axis=1) == labels[asked]
        own = accuracy_interval(float(left_out.mean()), [images] * KNOWN, left_out=True)
        other = wilson(int(right.sum()), len(right))
        below += bool(right.mean() < own.low)
        apart += bool(other.low > own.high or own.low > other.high)
        told.append(float(left_out.mean()))
        fresh.append(float(right.mean()))
        errors.append(calibration_error(probabilities.max(axis=1), right))
        baseline.append(accuracy(photos.described, labels, train, asked.tolist()))
    parts = {"shown": told, "fresh": fresh, "calibration_error": errors, "baseline": baseline}
    summaries = {name: _summary(values) for name, values in parts.items()}
    return {"images": images, "splits": len(SPLITS), "below": below, "apart": apart, **summaries}


def exchanged(photos: Photos, images: int) -> dict[str, Any]:
    """A fifth of the labels of 12 classes exchanged: of these images the share that is named, and of the others."""
    named, false = [], []
    for seed in SPLITS:
        generator = np.random.default_rng(seed)
        chosen = generator.permutation(len(photos.folders))[:KNOWN]
        rows = np.concatenate([generator.permutation(photos.folders[number])[:images] for number in chosen])
        labels = np.repeat(np.arange(KNOWN), images)
        wrong = np.zeros(len(rows), bool)
        wrong[generator.choice(len(rows), round(SHARE * len(rows)), replace=False)] = True
        labels[wrong] = (labels[wrong] + generator.integers(1, KNOWN, wrong.sum())) % KNOWN
        votes = neighbour_votes(photos.features[rows], labels, KNOWN)
        found = np.zeros(len(rows), bool)
        found[[suspect.row for suspect in mislabelled(votes, labels)]] = True
        named.append(float(found[wrong].mean()))
        false.append(float(found[~wrong].mean()))
    return {"images": images, "splits": len(SPLITS), "named": _summary(named), "false": _summary(false)}


def _summary(values: list[float]) -> dict[str, float]:
    return {
        "mean": round(float(np.mean(values)), 4),
        "least": round(min(values), 4),
        "most": round(max(values), 4),
    }
