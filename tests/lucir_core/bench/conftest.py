"""A tiny data set, a tiny protocol, and settings that learn it in seconds."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lucir_core.bench.class_order import seeded_order
from lucir_core.bench.datasets.dataset import Dataset, Split
from lucir_core.bench.protocol import Protocol, make_protocol
from lucir_core.bench.result_file import run_result, write_json
from lucir_core.bench.spec import RunSpec
from lucir_core.testing import synthetic_images

Write = Callable[..., None]
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


def tiny_split(count: int, seed: int) -> Split:
    """Images of six classes mixed, as the files of real data sets have them."""
    images = np.concatenate([synthetic_images(label, count, seed) for label in range(6)])
    labels = np.repeat(np.arange(6), count)
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


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a result whose every accuracy is `share`, without training anything."""

    def write_one(share: float, method: str = "lucir", protocol: str = "b50", phases: int = 5, **facts: Any) -> None:
        order = facts.pop("order", seeded_order(100))
        spec = RunSpec(facts.pop("dataset", "cifar100"), make_protocol(protocol, phases, order), method, **facts)
        records, seen = [], 0
        for number, size in enumerate(spec.protocol.phase_sizes):
            seen += size
            confusion = [[int(i == j) for j in range(seen)] for i in range(seen)]
            readout = {
                "all": share,
                "old": share if number else None,
                "new": share,
                "groups": [share] * (number + 1),
                "forgetting": 0.1,
                "confusion": confusion,
            }
            records.append({"phase": number, "classes": seen, "seconds": 60.0, "cnn": readout, "nme": readout})
        piece = {"commit": "0123456789abcdef", "hardware": {"threads": 2}, "seconds": 60.0}
        identity = {**spec.identity(), "data": "digest", **spec.notes()}
        write_json(tmp_path / f"{spec.name}.json", run_result(identity, records, [piece]))

    return write_one


def line_of(page: str, start: str) -> str:
    return next(line for line in page.splitlines() if line.startswith(start))
