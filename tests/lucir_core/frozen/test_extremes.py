"""Unequal classes, equal classes and a single class: what the heads of a frozen backbone make of them."""

import numpy as np
import pytest
import torch

from lucir_core.config.phase_config import load_preset
from lucir_core.frozen.frozen_head import with_head
from lucir_core.frozen.suspects import duplicates_across_classes
from lucir_core.memory.feature_memory import FeatureMemory
from lucir_core.memory.image_blobs import ImageBlobs
from lucir_core.models.model import create_model
from lucir_core.state import LearnerState
from tests.support.present import present

BACKBONE = {"network": "resnet8", "weights": None, "size": 32, "resize": 32}
PRESETS = pytest.mark.parametrize("preset", ["photo", "photo_lucir"])


def drawn(counts: tuple[int, ...], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Features (sum of counts, 64) near a direction per class, and labels."""
    random = np.random.default_rng(seed)
    centres = np.random.default_rng(0).normal(size=(len(counts), 64))
    labels = np.repeat(np.arange(len(counts)), counts).astype(np.int64)
    return (centres[labels] + 0.7 * random.normal(size=(len(labels), 64))).astype(np.float32), labels


def learnt(preset: str, features: np.ndarray, labels: np.ndarray) -> LearnerState:
    config, count = load_preset(preset, BACKBONE), int(labels.max()) + 1
    digests = [row.to_bytes(16, "big") for row in range(len(labels))]
    memory = FeatureMemory.empty(64).extended(features, labels, 0, digests)
    names = tuple(f"class {number}" for number in range(count))
    model, blank = create_model(config, 1), ImageBlobs.empty()
    return with_head(LearnerState(model, names, 0, (count,), blank, torch.zeros(count, 64), config, 1, features=memory))


def answered(state: LearnerState, features: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return state.model.head(torch.from_numpy(features)).logits.argmax(dim=1).numpy()


@PRESETS
def test_a_class_of_three_images_is_known_beside_one_of_a_thousand(preset: str) -> None:
    state = learnt(preset, *drawn((1000, 3, 20), 1))
    asked, truth = drawn((50, 50, 50), 2)
    right = answered(state, asked) == truth
    assert min(right[truth == label].mean() for label in range(3)) >= 0.9


@PRESETS
def test_two_classes_with_the_same_images_are_learnt_and_named(preset: str) -> None:
    features, labels = drawn((10, 10, 10), 1)
    features[10:20] = features[:10]
    state = learnt(preset, features, labels)
    assert np.isfinite(state.model.head.embeddings.detach().numpy()).all()
    asked, truth = drawn((30, 30, 30), 2)
    found = answered(state, asked)
    assert (found[truth == 2] == 2).mean() >= 0.9  # the third class does not suffer
    assert set(found[truth == 0].tolist()) <= {0, 1}
    pairs = duplicates_across_classes(features, labels)
    assert {(pair.first, pair.second) for pair in pairs} == {(row, row + 10) for row in range(10)}


@PRESETS
def test_images_all_of_one_class_are_a_service_of_one_class(preset: str) -> None:
    features, labels = drawn((12,), 1)
    state = learnt(preset, features, labels)
    assert answered(state, features).tolist() == [0] * 12
    calibration = present(state.calibration)
    assert calibration.calibration_error == pytest.approx(0.0, abs=1e-6)
    assert calibration.known_cosine is not None  # others can be unknown all the same
