"""Sums over rows that drops are added to: the same head as from all rows at once, and nothing of a deleted image."""

from pathlib import Path

import numpy as np
import pytest
import torch

from lucir_core.config.phase_config import load_preset
from lucir_core.frozen import analytic
from lucir_core.frozen.analytic import unit_rows, with_one
from lucir_core.frozen.frozen_head import with_head
from lucir_core.frozen.moments import extended, no_moments
from lucir_core.memory.feature_memory import FeatureMemory
from lucir_core.memory.image_blobs import ImageBlobs
from lucir_core.models.model import create_model
from lucir_core.state import LearnerState
from tests.support.present import present

DIM, DROPS = 64, ((0, 0, 1, 1, 1), (2, 2, 2), (1, 3, 3, 3, 0))
"""Labels of each drop; the last one has images of classes that are known already."""


def labelled() -> tuple[np.ndarray, np.ndarray]:
    labels = np.repeat(np.concatenate([np.array(drop) for drop in DROPS]), 8)
    random = np.random.default_rng(4)
    features = random.normal(size=(4, DIM))[labels] + 0.9 * random.normal(size=(len(labels), DIM))
    return features.astype(np.float32), labels


def memory(*, at_once: bool, save: Path | None = None) -> FeatureMemory:
    """The rows in one phase, or in three with a head after each."""
    features, labels = labelled()
    ends = [len(labels)] if at_once else (8 * np.cumsum([len(drop) for drop in DROPS])).tolist()
    made, start = FeatureMemory.empty(DIM), 0
    for phase, end in enumerate(ends):
        digests = [row.to_bytes(16, "big") for row in range(start, end)]
        made, start = made.extended(features[start:end], labels[start:end], phase, digests), end
        if not at_once:
            learnt = present(headed(made).features)
            if save is not None:
                learnt.save(save)
                learnt = FeatureMemory.load(save)
            made = learnt
    return made


def headed(rows: FeatureMemory) -> LearnerState:
    config = load_preset("photo", {"network": "resnet8", "weights": None, "size": 32, "resize": 32})
    model, count = create_model(config, 0), int(rows.labels.max()) + 1
    names = tuple(f"class {number}" for number in range(count))
    blank = LearnerState(
        model, names, 0, (count,), ImageBlobs.empty(), torch.zeros(count, DIM), config, 1, features=rows
    )
    return with_head(blank)


def same(one: LearnerState, other: LearnerState) -> None:
    assert present(one.calibration).temperature == present(other.calibration).temperature
    for name, value in one.model.head.state_dict().items():
        np.testing.assert_allclose(value.numpy(), other.model.head.state_dict()[name].numpy(), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(one.prototypes.numpy(), other.prototypes.numpy(), atol=1e-6)


def test_added_drop_by_drop_the_head_is_the_one_from_all_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exact = headed(memory(at_once=True))
    monkeypatch.setattr(analytic, "MANY_ROWS", 10)
    added = memory(at_once=False, save=tmp_path / "features.safetensors")
    assert present(added.moments).counts.tolist() == np.bincount(added.labels).tolist()
    same(headed(added), exact)


def test_a_drop_asks_for_rows_of_its_classes_alone() -> None:
    features, labels = labelled()
    asked: list[int] = []

    def rows_of(places: np.ndarray) -> np.ndarray:
        asked.extend(places.tolist())
        return with_one(unit_rows(features[places]))

    first = extended(no_moments(DIM + 1), rows_of, labels[:40], 2)
    asked.clear()
    extended(first, rows_of, labels[:64], 3)
    assert asked == list(range(40, 64))


def test_after_a_deletion_the_sums_begin_with_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(analytic, "MANY_ROWS", 10)
    gone = {row.to_bytes(16, "big") for row in (0, 50)}
    rest = memory(at_once=False).without(gone)
    assert rest.moments is None
    same(headed(rest), headed(memory(at_once=True).without(gone)))
