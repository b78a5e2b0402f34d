"""A folder of class folders, learnt with the heads that a frozen backbone can have, beside a baseline.

    python -m benchmarks.photos.run FOLDER --output benchmarks/photos

Needs 16 classes with at least 60 images each. For each seed, classes and images are shuffled: twelve classes come in
drops of 4, 3, 2 and 3, four are never learnt. At most 45 images of each class are learnt, the next 8 are for
validation (the default method is chosen by them), at most 14 of the others are asked. Then, on more choices of
classes: how many images of classes that were never learnt are called unknown, and how many labels that were exchanged
are found. Every image passes the backbone once; ``seconds`` of a drop are its images' features, by the mean time of an
image, and the head as measured.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray

from benchmarks.photos.folder import METHODS, NETWORKS, Photos, answers, learn, read
from benchmarks.photos.odd import exchanged, shown, unknown
from benchmarks.photos.tables import write_tables
from benchmarks.result import machine, show
from handlers.demo.photo_baseline import accuracy
from lucir_core.frozen.calibrate import calibration_error

DROPS, SHOTS, SEEDS = (4, 3, 2, 3), (3, 5, 20, 45), (1993, 1994, 1995)
KNOWN, LEARNT, VALIDATED, ASKED = sum(DROPS), max(SHOTS), 8, 14
LEAST = LEARNT + VALIDATED + 7


def run(photos: Photos, seed: int) -> dict[str, Any]:
    """One shuffling of classes and images."""
    generator = np.random.default_rng(seed)
    order = [generator.permutation(photos.folders[number]) for number in generator.permutation(len(photos.folders))]
    drops = [_measured(photos, order, DROPS[:last], LEARNT) for last in range(1, len(DROPS) + 1)]
    shots = [{"images": count, **_measured(photos, order, DROPS, count)} for count in SHOTS]
    return {"seed": seed, "drops": drops, "shots": shots}


def _measured(photos: Photos, order: list[NDArray[np.int64]], sizes: tuple[int, ...], images: int) -> dict[str, Any]:
    count = sum(sizes)
    labels = np.full(len(photos.features), -1, np.int64)
    for label, rows in enumerate(order[:count]):
        labels[rows] = label
    train = [row for rows in order[:count] for row in rows[:images].tolist()]
    validation = [row for rows in order[:count] for row in rows[LEARNT : LEARNT + VALIDATED].tolist()]
    test = [row for rows in order[:count] for row in rows[LEARNT + VALIDATED :][:ASKED].tolist()]
    result: dict[str, Any] = {"classes": count, "asked": len(test)}
    for method in METHODS:
        started = time.monotonic()
        state = learn(photos, method, labels, train, sizes)
        head = time.monotonic() - started
        probabilities, _ = answers(state, photos.features[test])
        right = probabilities.argmax(axis=1) == labels[test]
        chosen = answers(state, photos.features[validation])[0].argmax(axis=1) == labels[validation]
        old = labels[test] < count - sizes[-1]
        result[method] = {
            "validation": round(float(chosen.mean()), 4),
            "accuracy": round(float(right.mean()), 4),
            "old": round(float(right[old].mean()), 4) if old.any() else None,
            "seconds": round(photos.seconds * sizes[-1] * images + head, 2),
            "calibration_error": round(calibration_error(probabilities.max(axis=1), right), 4),
        }
        if method == "analytic":
            units = photos.features[test] / np.linalg.norm(photos.features[test], axis=1, keepdims=True)
            means = (units @ state.prototypes.numpy().T).argmax(axis=1)
            result["means"] = {"accuracy": round(float((means == labels[test]).mean()), 4)}
    result["baseline"] = {"accuracy": round(accuracy(photos.described, labels, train, test), 4)}
    return result


def network(photos: Photos, method: str) -> dict[str, Any]:
    """The analytic head on one backbone, from few images and from many: for each number, the share of each seed."""
    shots = []
    for images in SHOTS:
        shares = []
        for seed in SEEDS:
            generator = np.random.default_rng(seed)
            folders = [photos.folders[number] for number in generator.permutation(len(photos.folders))]
            order = [generator.permutation(rows) for rows in folders][:KNOWN]
            labels = np.full(len(photos.features), -1, np.int64)
            for label, rows in enumerate(order):
                labels[rows] = label
            state = learn(photos, method, labels, np.concatenate([rows[:images] for rows in order]).tolist(), DROPS)
            test = np.concatenate([rows[LEARNT + VALIDATED :][:ASKED] for rows in order])
            right = answers(state, photos.features[test])[0].argmax(axis=1) == labels[test]
            shares.append(round(float(right.mean()), 4))
        shots.append({"images": images, "accuracy": shares})
    return {"preset": NETWORKS[method], "seconds_per_image": round(photos.seconds, 4), "shots": shots}


def plot(runs: list[dict[str, Any]], path: Path) -> None:
    """Accuracy over classes: the mean of the seeds, and their range."""
    mpl.use("agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
    names = {"analytic": "preset photo", "lucir": "preset photo_lucir", "baseline": "HOG + colours, ridge"}
    for key, name in names.items():
        values = 100 * np.array([[drop[key]["accuracy"] for drop in one["drops"]] for one in runs])
        axes.plot(np.cumsum(DROPS), values.mean(axis=0), "o-", label=name)
        axes.fill_between(np.cumsum(DROPS), values.min(axis=0), values.max(axis=0), alpha=0.2)
    axes.set(xlabel="classes learnt", ylabel="held-back images right, %", ylim=(0, 102))
    axes.legend(loc="lower left")
    figure.savefig(path, dpi=110)


def main() -> None:
    """Read, run the seeds, write result, tables and plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/photos"))
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    photos = read(arguments.folder)
    short = [len(rows) for rows in photos.folders if len(rows) < LEAST]
    if len(photos.folders) <= KNOWN or short:
        raise SystemExit(
            f"{arguments.folder}: {len(photos.folders)} classes, {len(short)} of them short: give more than {KNOWN} "
            f"classes of at least {LEAST} images"
        )
    result: dict[str, Any] = {
        "machine": machine(),
        "classes": len(photos.folders),
        "images": len(photos.features),
        "seconds_per_image": round(photos.seconds, 4),
        "runs": [run(photos, seed) for seed in SEEDS],
        "networks": [
            network(photos if method == "analytic" else read(arguments.folder, preset), method)
            for method, preset in NETWORKS.items()
        ],
        "unknown": [unknown(photos, count) for count in SHOTS],
        "shown": [shown(photos, count) for count in SHOTS],
        "exchanged": [exchanged(photos, count) for count in (5, 10, 20, 45)],
    }
    show(result, arguments.output / "result.json")
    write_tables(result, arguments.output / "tables.md")
    plot(result["runs"], arguments.output / "accuracy.png")


if __name__ == "__main__":
    main()
