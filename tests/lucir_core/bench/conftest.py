"""A tiny data set, a tiny protocol, and settings that learn it in seconds."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from lucir_core.bench.datasets.dataset import Dataset, Split
from lucir_core.bench.protocol import Protocol
from lucir_core.bench.spec import RunSpec
from lucir_core.testing import synthetic_images

TINY: dict[str, Any] = {
    "network": "resnet8",
    "size": 16,
    "resize": 16,
    "epochs": 3,
    "milestones": [2],
    "batch_size": 16,
    "exemplars_per_class": 4,
    "augment.crop_padding": 1,
}


def tiny_split(count: int, seed: int, classes: int = 6) -> Split:
    """Images of all classes mixed, as the files of real data sets have them."""
    images = np.concatenate([synthetic_images(label, count, seed) for label in range(classes)])
    labels = np.repeat(np.arange(classes), count)
    mixed = np.random.default_rng(seed).permutation(len(labels))
    return Split(images[mixed], labels[mixed])


@pytest.fixture
def dataset() -> Dataset:
    return Dataset("tiny", tiny_split(10, 0), tiny_split(5, 1), tuple(f"class {label}" for label in range(6)))


@pytest.fixture
def make_spec() -> Callable[..., RunSpec]:
    def make(method: str = "lucir", settings: dict[str, Any] | None = None, **facts: Any) -> RunSpec:
        protocol = Protocol("custom", (2, 2, 1), (4, 0, 5, 2, 1, 3))
        return RunSpec("tiny", protocol, method, "cifar100", {**TINY, **(settings or {})}, **facts)

    return make
