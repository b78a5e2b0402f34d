"""How much the old classes lose with a drop, over many choices of classes, of their order and of their images.

    python -m benchmarks.photos.falls FOLDER --output benchmarks/photos/falls.json

For each choice twelve classes come in drops of 4, 3, 2 and 3. After each drop 20 other images of every known class are
asked; the fall of a drop is the share of the old classes' images that was right before it less the share that is right
after it. Counted is the largest fall of the three drops that have old classes. FOLDER has at least 12 classes of 65
images. Every image passes the backbone once.
"""

import argparse
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.photos.folder import Photos, read
from benchmarks.result import machine, show
from lucir_core import load_preset
from lucir_core.frozen.analytic import fit_ridge, unit_rows
from lucir_core.frozen.lucir_head import LucirRows, learn_rows

CHOICES = range(8201, 8301)
"""Not those that the criterion of the ridge's strength was chosen on: they end with 8200."""
DROPS, IMAGES, LEARNT, ASKED = (4, 3, 2, 3), (3, 5, 20, 45), 45, 20
ALLOWED = 0.02
"""The largest fall that issue 9 allows."""

Rows = NDArray[np.float64]
Labels = NDArray[np.int64]
Head = Callable[[Rows], Rows]
"""Scores (n, classes) of rows (n, dim) of length one."""


def analytic_heads(units: Rows, labels: Labels) -> list[Head]:
    """After each drop; units: (n, dim) in the order of the classes, labels: (n,)."""
    heads: list[Head] = []
    for end in np.cumsum(DROPS).tolist():
        known = labels < end
        fit = fit_ridge(units[known], labels[known], end)
        heads.append(lambda rows, fit=fit: rows @ fit.weights.T + fit.bias)  # type: ignore[misc]  # a bound default
    return heads


def lucir_heads(units: Rows, labels: Labels) -> list[Head]:
    """As `analytic_heads`."""
    config, ends = load_preset("photo_lucir"), np.cumsum(DROPS)
    phases, singles = np.searchsorted(ends, labels, side="right"), units.astype(np.float32)
    heads: list[Head] = []
    rows: LucirRows | None = None
    for phase, end in enumerate(ends.tolist()):
        known = labels < end
        rows = learn_rows(config, singles[known], labels[known], phases[known], DROPS[: phase + 1], rows)
        heads.append(lambda asked, served=rows.served: asked @ served.T)  # type: ignore[misc]  # a bound default
    return heads


HEADS = {"photo": analytic_heads, "photo_lucir": lucir_heads}


def falls(photos: Photos, preset: str, images: int, choices: range) -> dict[str, Any]:
    """Of each choice the largest fall, and the share of all images that is right after the last drop."""
    largest, last = [], []
    units = unit_rows(photos.features)
    for seed in choices:
        generator = np.random.default_rng(seed)
        chosen = generator.permutation(len(photos.folders))[: sum(DROPS)]
        order = [generator.permutation(photos.folders[number]) for number in chosen]
        learnt = units[np.concatenate([rows[:images] for rows in order])]
        asked = units[np.concatenate([rows[LEARNT : LEARNT + ASKED] for rows in order])]
        right = [
            head(asked[: ASKED * end]).argmax(axis=1) == np.repeat(np.arange(end), ASKED)
            for head, end in zip(
                HEADS[preset](learnt, np.repeat(np.arange(len(order)), images)), np.cumsum(DROPS), strict=True
            )
        ]
        lost = [before.mean() - after[: len(before)].mean() for before, after in pairwise(right)]
        largest.append(float(max(lost)))
        last.append(float(right[-1].mean()))
    return {
        "preset": preset,
        "images": images,
        "choices": len(choices),
        "fall": {
            "mean": round(float(np.mean(largest)), 4),
            "nine_of_ten": round(float(np.quantile(largest, 0.9)), 4),
            "worst": round(max(largest), 4),
            "more_than_allowed": sum(one > ALLOWED + 1e-9 for one in largest) / len(choices),
        },
        "right_at_the_end": {"mean": round(float(np.mean(last)), 4), "least": round(min(last), 4)},
    }


def main() -> None:
    """Both heads with every number of images."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--presets", choices=sorted(HEADS), nargs="+", default=sorted(HEADS))
    parser.add_argument("--images", type=int, nargs="+", default=list(IMAGES))
    parser.add_argument("--choices", type=int, default=len(CHOICES))
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    photos = read(arguments.folder)
    large = [rows for rows in photos.folders if len(rows) >= LEARNT + ASKED]
    if len(large) < sum(DROPS) or len(large) < len(photos.folders):
        raise SystemExit(f"{arguments.folder}: give {sum(DROPS)} classes or more, each of {LEARNT + ASKED} images")
    choices = CHOICES[: arguments.choices]
    rows = [falls(photos, preset, images, choices) for preset in arguments.presets for images in arguments.images]
    show({"machine": machine(), "rows": rows}, arguments.output)


if __name__ == "__main__":
    main()
