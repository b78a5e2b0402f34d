"""A network learnt from scratch is compared with the frozen backbone, and said to be worse where it is."""

import dataclasses

import numpy as np
import pytest
from sklearn.datasets import load_sample_image

from lucir_core.config.phase_config import load_preset
from lucir_core.frozen.advice import compare_with_frozen
from lucir_core.memory.image_blobs import ImageBlobs
from lucir_core.phase import PhaseData, run_phase
from lucir_core.state import LearnerState
from lucir_core.weights import pretrained
from tests.support.present import present

CLASSES = ("flower", "palace")


def parts(seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Parts (2 * count, 32, 32, 3) of two photographs, every fifth pixel, and labels."""
    random, images = np.random.default_rng(seed), []
    for name in ("flower.jpg", "china.jpg"):
        photograph = load_sample_image(name)
        for _ in range(count):
            top, left = random.integers(0, 240), random.integers(0, 440)
            images.append(photograph[top : top + 160 : 5, left : left + 160 : 5])
    return np.stack(images), np.repeat(np.arange(2), count).astype(np.int64)


@pytest.fixture(scope="module")
def untrained() -> LearnerState:
    """A network that has hardly learnt: its answers are worth little."""
    overrides = {"network": "resnet8", "epochs": 1, "min_steps": 0, "lr": 1e-6, "cbf.enabled": False}
    images, labels = parts(1, 16)
    return run_phase(load_preset("small", overrides), PhaseData(images, labels, CLASSES), None)


def held(count: int = 20) -> ImageBlobs:
    images, labels = parts(2, count)
    return ImageBlobs.from_arrays(images, labels, CLASSES)


def test_what_the_frozen_backbone_would_reach_is_said_with_its_images(untrained: LearnerState) -> None:
    found = present(compare_with_frozen(untrained, held()))
    assert found.images == 40
    assert found.frozen >= 0.9
    assert found.is_better == (found.own < 0.85)
    assert str(found).startswith(f"the preset photo would be right in {found.frozen:.0%} of 40 held-out images")


def test_nothing_is_compared_where_it_cannot_be(untrained: LearnerState, monkeypatch: pytest.MonkeyPatch) -> None:
    assert compare_with_frozen(untrained, held(4)) is None
    small = dataclasses.replace(untrained, config=dataclasses.replace(untrained.config, size=12))
    assert compare_with_frozen(small, held()) is None
    monkeypatch.setattr(pretrained, "_path", lambda _: None)
    assert compare_with_frozen(untrained, held()) is None
