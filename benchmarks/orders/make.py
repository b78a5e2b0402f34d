"""Easiest, median and hardest class order of CIFAR-100, by the likeness of its classes.

    python -m benchmarks.orders.make PATH [--output lucir_core/bench/orders/cifar100.yaml]

Classes are as alike as their mean features under a network that was never trained on CIFAR (EfficientNet-Lite0 with
ImageNet's weights, on training images scaled up). An order is scored by how alike classes are that arrive in different
phases of B50 with five phases: such classes a later phase must tell apart without having the earlier images.
"""

import argparse
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lucir_core.bench.class_order import PAPERS_SEED, seeded_order
from lucir_core.bench.datasets.cifar import load_cifar
from lucir_core.config.phase_config import load_preset
from lucir_core.frozen.extraction import FeatureExtractor
from lucir_core.models.model import create_model

SIZES = (50, 10, 10, 10, 10, 10)
SIDE, IMAGES = 160, 40
"""Pixels that images are scaled to, and training images of each class."""
DRAWN, SWAPS = 1001, 40_000


def likeness(data: Path) -> NDArray[np.float64]:
    """(classes, classes): cosines between the classes' mean features, their common mean taken off, diagonal 0."""
    train = load_cifar("cifar100", data).train
    config = load_preset("photo", {"size": SIDE, "resize": SIDE})
    extract = FeatureExtractor(create_model(config, PAPERS_SEED), SIDE)
    means = []
    for label in range(sum(SIZES)):
        chosen = train.images[np.flatnonzero(train.labels == label)[:IMAGES]]
        scaled = [np.asarray(Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BICUBIC)) for image in chosen]
        features = extract(np.stack(scaled)).astype(np.float64)
        means.append((features / np.linalg.norm(features, axis=1, keepdims=True)).mean(axis=0))
    centred = np.stack(means) - np.mean(means, axis=0)
    unit = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    table: NDArray[np.float64] = unit @ unit.T
    np.fill_diagonal(table, 0.0)
    return table


def score(order: Sequence[int], table: NDArray[np.float64]) -> float:
    """Mean likeness of classes that arrive in different phases."""
    ends = np.cumsum((0, *SIZES))
    rows = table[np.ix_(order, order)]
    within = sum(rows[start:end, start:end].sum() for start, end in pairwise(ends))
    pairs = len(order) ** 2 - sum(size * size for size in SIZES)
    return float((rows.sum() - within) / pairs)


def climbed(order: Sequence[int], table: NDArray[np.float64], sign: int) -> list[int]:
    """The order after swaps of two classes that raise (sign 1) or lower (-1) its score, from a seed."""
    random, best = np.random.default_rng(PAPERS_SEED), list(order)
    value = score(best, table)
    for _ in range(SWAPS):
        one, two = random.integers(len(best), size=2)
        best[one], best[two] = best[two], best[one]
        other = score(best, table)
        if sign * (other - value) > 0:
            value = other
        else:
            best[one], best[two] = best[two], best[one]
    return best


def main() -> None:
    """Write the three orders with their scores as comments."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--output", type=Path, default=Path("lucir_core/bench/orders/cifar100.yaml"))
    options = parser.parse_args()
    table = likeness(options.data)
    drawn = sorted((seeded_order(len(table), seed) for seed in range(DRAWN)), key=lambda order: score(order, table))
    start = seeded_order(len(table), PAPERS_SEED)
    found = {
        "easiest": climbed(start, table, -1),
        "median": list(drawn[DRAWN // 2]),
        "hardest": climbed(start, table, 1),
    }
    lines = [
        "# Made by `python -m benchmarks.orders.make`, which says how. Likeness of classes in different phases:",
        f"# seed 1993 {score(start, table):.5f}, {DRAWN} drawn orders {score(drawn[0], table):.5f} to "
        f"{score(drawn[-1], table):.5f}.",
    ]
    for name, order in found.items():
        lines += [f"# {score(order, table):.5f}", f"{name}: {order!s}"]
    options.output.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
