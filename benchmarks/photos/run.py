"""A folder of class folders, learnt in drops with the preset ``photo``, beside a baseline on the same images.

    python -m benchmarks.photos.run FOLDER --output benchmarks/photos

Needs 16 classes with more than 45 images each. For each seed, classes and images are shuffled: twelve classes come in
drops of 4, 3, 2 and 3, four are never learnt. 45 images of each class are learnt, at most 20 of the others are asked.
Every image passes the backbone once; ``seconds`` of a drop are the head's as measured, and the features' by the mean
time of an image.
"""

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps

from benchmarks.photos.baseline import SIDE, accuracy, describe
from benchmarks.result import machine, show
from lucir_core import LearnerState, PhaseConfig, load_preset
from lucir_core.frozen.analytic import unit_rows
from lucir_core.frozen.calibrate import calibration_error, known_score, softmax
from lucir_core.frozen.extraction import FeatureExtractor
from lucir_core.frozen.frozen_head import with_head
from lucir_core.memory.feature_memory import FeatureMemory
from lucir_core.memory.image_blobs import ImageBlobs, image_digest
from lucir_core.models.model import IncrementalModel, create_model

DROPS, SHOTS, SEEDS = (4, 3, 2, 3), (3, 5, 20, 45), (1993, 1994, 1995)
KNOWN, LEARNT, ASKED = sum(DROPS), max(SHOTS), 20


@dataclass(frozen=True)
class Photos:
    """All images of the folder, in memory, as both sides see them."""

    config: PhaseConfig
    model: IncrementalModel
    features: NDArray[np.float32]
    described: NDArray[np.float64]
    digests: list[bytes]
    folders: list[NDArray[np.int64]]
    """Positions of each class's images."""
    seconds: float
    """Of the backbone for one image, on average."""


def read(folder: Path) -> Photos:
    """Decode every image, take it through the backbone once and describe it for the baseline."""
    config = load_preset("photo")
    model = create_model(config, SEEDS[0])
    files = [
        sorted(path for path in one.iterdir() if path.is_file()) for one in sorted(folder.iterdir()) if one.is_dir()
    ]
    short = [len(paths) for paths in files if len(paths) <= LEARNT]
    if len(files) <= KNOWN or short:
        raise SystemExit(f"{folder}: {len(files)} classes, {len(short)} of them short: give more than {KNOWN} classes "
                         f"of more than {LEARNT} images")  # fmt: skip
    pictures = [Image.open(path).convert("RGB") for paths in files for path in paths]
    images = np.stack([np.asarray(ImageOps.fit(one, (config.resize, config.resize))) for one in pictures])
    extractor, started = FeatureExtractor(model, config.size), time.monotonic()
    features = extractor(images)
    seconds = (time.monotonic() - started) / len(images)
    ends = np.cumsum([len(paths) for paths in files])
    return Photos(
        config=config,
        model=model,
        features=features,
        described=np.stack([describe(np.asarray(ImageOps.fit(one, (SIDE, SIDE)))) for one in pictures]),
        digests=[image_digest(image) for image in images],
        folders=np.split(np.arange(len(images)), ends[:-1]),
        seconds=seconds,
    )


def learn(photos: Photos, labels: NDArray[np.int64], rows: list[int], sizes: tuple[int, ...]) -> LearnerState:
    """The state after drops of ``sizes`` classes, from the images at ``rows``."""
    phase, count = len(sizes) - 1, sum(sizes)
    empty = FeatureMemory.empty(photos.model.feature_dim)
    memory = empty.extended(photos.features[rows], labels[rows], phase, [photos.digests[row] for row in rows])
    names = tuple(f"class {number}" for number in range(count))
    prototypes = torch.zeros(count, photos.model.feature_dim)
    blank = ImageBlobs.empty()
    return with_head(
        LearnerState(photos.model, names, phase, sizes, blank, prototypes, photos.config, SEEDS[0], features=memory)
    )


def answers(state: LearnerState, features: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Probabilities (n, classes), and which images are called unknown (n,)."""
    logits = state.model.head(torch.from_numpy(features)).logits.numpy()
    calibration = state.calibration
    assert calibration is not None  # noqa: S101  # every frozen state has one
    known = (unit_rows(features) @ state.prototypes.numpy().T).max(axis=1)
    if state.config.method == "analytic":
        known = known_score(known, logits.max(axis=1) * calibration.temperature)
    bound = calibration.known_cosine
    return softmax(logits, 1.0), known < (-1.0 if bound is None else bound)


def run(photos: Photos, seed: int) -> dict[str, Any]:
    """One shuffling of classes and images."""
    generator = np.random.default_rng(seed)
    order = [generator.permutation(photos.folders[number]) for number in generator.permutation(len(photos.folders))]
    labels = np.full(len(photos.features), -1, np.int64)
    for label, rows in enumerate(order):
        labels[rows] = label
    asked = [rows[LEARNT : LEARNT + ASKED].tolist() for rows in order]
    drops = [_measured(photos, labels, order, asked, DROPS[:last], LEARNT) for last in range(1, len(DROPS) + 1)]
    shots = [{"images": count, **_measured(photos, labels, order, asked, DROPS, count)} for count in SHOTS]
    return {"seed": seed, "drops": drops, "shots": shots}


def _measured(
    photos: Photos,
    labels: NDArray[np.int64],
    order: list[NDArray[np.int64]],
    asked: list[list[int]],
    sizes: tuple[int, ...],
    images: int,
) -> dict[str, Any]:
    count = sum(sizes)
    train = [row for rows in order[:count] for row in rows[:images].tolist()]
    test = [row for rows in asked[:count] for row in rows]
    others = [row for rows in asked[KNOWN:] for row in rows]
    started = time.monotonic()
    state = learn(photos, labels, train, sizes)
    head = time.monotonic() - started
    probabilities, alarms = answers(state, photos.features[test])
    right = probabilities.argmax(axis=1) == labels[test]
    return {
        "classes": count,
        "asked": len(test),
        "accuracy": round(float(right.mean()), 4),
        "baseline": round(accuracy(photos.described, labels, train, test), 4),
        "seconds": round(photos.seconds * sizes[-1] * images + head, 2),
        "unknown_flagged": round(float(answers(state, photos.features[others])[1].mean()), 4),
        "false_alarms": round(float(alarms.mean()), 4),
        "calibration_error": round(calibration_error(probabilities.max(axis=1), right), 4),
    }


def plot(runs: list[dict[str, Any]], path: Path) -> None:
    """Accuracy over classes: the mean of the seeds, and their range."""
    mpl.use("agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
    for key, name in (("accuracy", "lucir, preset photo"), ("baseline", "HOG + colours, ridge")):
        values = 100 * np.array([[drop[key] for drop in one["drops"]] for one in runs])
        axes.plot(np.cumsum(DROPS), values.mean(axis=0), "o-", label=name)
        axes.fill_between(np.cumsum(DROPS), values.min(axis=0), values.max(axis=0), alpha=0.2)
    axes.set(xlabel="classes learnt", ylabel="held-out images right, %", ylim=(0, 102))
    axes.legend(loc="lower left")
    figure.savefig(path, dpi=110)


def main() -> None:
    """Read, run the seeds, write result and plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/photos"))
    arguments = parser.parse_args()
    photos = read(arguments.folder)
    runs = [run(photos, seed) for seed in SEEDS]
    facts = {
        "machine": machine(),
        "classes": len(photos.folders),
        "images": len(photos.features),
        "seconds_per_image": round(photos.seconds, 4),
    }
    show({**facts, "runs": runs}, arguments.output / "result.json")
    plot(runs, arguments.output / "accuracy.png")


if __name__ == "__main__":
    main()
