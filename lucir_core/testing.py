"""For tests of code that uses this library: tiny images that a tiny network learns in seconds."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from lucir_core.config.parsing import merged, nested
from lucir_core.config.phase_config import PhaseConfig, config_from_dict
from lucir_core.data.phase_data import PhaseData

TINY_SIDE = 16


def tiny_config(overrides: Mapping[str, Any] | None = None) -> PhaseConfig:
    """ResNet-8 at 16 pixels, a few short epochs."""
    base: dict[str, Any] = {
        "network": "resnet8",
        "size": TINY_SIDE,
        "resize": TINY_SIDE,
        "epochs": 4,
        "batch_size": 16,
        "milestones": [3],
        "exemplars_per_class": 5,
        "augment": {"crop_padding": 1},
    }
    return config_from_dict(merged(base, nested(overrides or {})))


def synthetic_images(label: int, count: int, seed: int = 0, side: int = TINY_SIDE) -> np.ndarray:
    """(count, side, side, 3) uint8: a colour and a stripe pattern that belong to `label`, under noise."""
    pattern = np.random.default_rng(label)
    colour = pattern.uniform(60, 200, 3)
    angle, period = pattern.uniform(0, np.pi), pattern.uniform(3, 8)
    y, x = np.mgrid[:side, :side]
    wave = np.sin(2 * np.pi * (x * np.cos(angle) + y * np.sin(angle)) / period)
    noise = np.random.default_rng([seed, label]).normal(0, 15, (count, side, side, 3))
    images: np.ndarray = np.clip(colour + 45 * wave[..., None] + noise, 0, 255).astype(np.uint8)
    return images


def synthetic_phase(counts: Mapping[int, int], class_count: int, seed: int = 0, side: int = TINY_SIDE) -> PhaseData:
    """A phase with `counts[label]` images of each label; the classes are called `class-0`, `class-1` ..."""
    images = [synthetic_images(label, count, seed, side) for label, count in counts.items()]
    labels = np.repeat(list(counts), list(counts.values())).astype(np.int64)
    return PhaseData(np.concatenate(images), labels, tuple(f"class-{i}" for i in range(class_count)))
