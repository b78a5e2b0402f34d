"""How often the interval beside an accuracy of left-out images holds what fresh images give.

    python -m benchmarks.photos.covered FOLDER ... --output benchmarks/photos/covered.json

For each folder of class folders and each number of images, 100 choices of 12 classes and of their images are learnt; 20
other images of each class are asked. Folders need 12 classes of at least 65 images.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.photos.folder import Photos, read
from benchmarks.result import machine, show
from lucir_core.frozen.analytic import fit_ridge, unit_rows
from lucir_core.frozen.intervals import Interval, accuracy_interval, wilson

CHOICES = range(7001, 7101)
CLASSES, IMAGES, LEARNT, ASKED = 12, (3, 5, 20, 45), 45, 20


def covered(photos: Photos, images: int) -> dict[str, Any]:
    """Shares of the choices in which the fresh share lies within, below and above; beside the plain Wilson interval."""
    found: dict[str, list[tuple[Interval, float]]] = {"interval": [], "wilson": []}
    told = []
    for seed in CHOICES:
        generator = np.random.default_rng(seed)
        chosen = generator.permutation(len(photos.folders))[:CLASSES]
        order = [generator.permutation(photos.folders[number]) for number in chosen]
        learnt, fresh = np.repeat(np.arange(CLASSES), images), np.repeat(np.arange(CLASSES), ASKED)
        seen = unit_rows(photos.features[np.concatenate([rows[:images] for rows in order])])
        asked = unit_rows(photos.features[np.concatenate([rows[LEARNT : LEARNT + ASKED] for rows in order])])
        fit = fit_ridge(seen, learnt, CLASSES)
        right = fit.left_out.argmax(axis=1) == learnt
        share = float(((asked @ fit.weights.T + fit.bias).argmax(axis=1) == fresh).mean())
        told.append(float(right.mean()))
        interval = accuracy_interval(told[-1], [images] * CLASSES, left_out=True)
        found["interval"].append((interval, share))
        found["wilson"].append((wilson(int(right.sum()), len(right)), share))
    fresh_share = float(np.mean([share for _, share in found["wilson"]]))
    return {
        "images": images,
        "choices": len(CHOICES),
        "shown": round(float(np.mean(told)), 4),
        "fresh": round(fresh_share, 4),
        **{name: _held(pairs) for name, pairs in found.items()},
    }


def _held(pairs: list[tuple[Interval, float]]) -> dict[str, float]:
    count, near = len(pairs), 1e-9
    return {
        "below": sum(share < interval.low - near for interval, share in pairs) / count,
        "above": sum(share > interval.high + near for interval, share in pairs) / count,
        "within": sum(interval.low - near <= share <= interval.high + near for interval, share in pairs) / count,
        "width": round(sum(interval.high - interval.low for interval, _ in pairs) / count, 4),
    }


def main() -> None:
    """Every folder with every number of images."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    sources = {}
    for folder in arguments.folders:
        photos = read(folder)
        if len(photos.folders) < CLASSES or min(map(len, photos.folders)) < LEARNT + ASKED:
            raise SystemExit(f"{folder}: give 12 classes or more, each of at least {LEARNT + ASKED} images")
        sources[folder.name] = [covered(photos, images) for images in IMAGES]
    show({"machine": machine(), "sources": sources}, arguments.output)


if __name__ == "__main__":
    main()
