"""What refining the backbone changes on a folder of class folders, on images that nothing was ever learnt from.

    python -m benchmarks.photos.refined FOLDER --output benchmarks/photos/refined.json

Twelve classes, chosen and shuffled by the seed; at most 45 images of each are learnt, all others are asked. For each of
the preset's numbers of stages: what the refinement itself finds on the images that it holds back, what is right of the
others before and after, and the seconds that it takes.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps

from benchmarks.result import machine, show
from lucir_core import LearnerState, PhaseData, load_preset, run_phase
from lucir_core.frozen.extraction import FeatureExtractor
from lucir_core.refine.paired import compare_paired
from lucir_core.refine.refinement import refine_state

KNOWN, LEARNT, SEED = 12, 45, 1993


def read(folder: Path) -> tuple[PhaseData, NDArray[np.uint8], NDArray[np.int64]]:
    """The images to learn, and those to ask with their labels."""
    random, side = np.random.default_rng(SEED), load_preset("photo").resize
    paths = sorted(path for path in folder.iterdir() if path.is_dir())
    chosen = [paths[number] for number in random.permutation(len(paths))[:KNOWN]]
    parts: tuple[list[NDArray[np.uint8]], ...] = ([], [])
    labels: tuple[list[int], ...] = ([], [])
    for label, path in enumerate(chosen):
        files = sorted(one for one in path.iterdir() if one.is_file())
        for place, number in enumerate(random.permutation(len(files)).tolist()):
            image = ImageOps.fit(Image.open(files[number]).convert("RGB"), (side, side))
            parts[place >= LEARNT].append(np.asarray(image))
            labels[place >= LEARNT].append(label)
    names = tuple(path.name for path in chosen)
    return PhaseData(np.stack(parts[0]), np.array(labels[0]), names), np.stack(parts[1]), np.array(labels[1])


def right(state: LearnerState, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which images are answered rightly."""
    features = FeatureExtractor(state.model, state.config.size)(images)
    found: NDArray[np.bool_] = state.model.head(torch.from_numpy(features)).logits.argmax(dim=1).numpy() == labels
    return found


def main() -> None:
    """Read, learn, refine, ask."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--stages", type=int, nargs="+", default=[1])
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    data, asked, labels = read(options.folder)
    frozen = run_phase(load_preset("photo"), data, None)
    before = right(frozen, asked, labels)
    rows: list[dict[str, Any]] = []
    for stages in options.stages:
        config, started = load_preset("photo", {"refine.stages": stages}), time.monotonic()
        made = refine_state(config, data, frozen)
        seconds = time.monotonic() - started
        rows.append(
            {
                "stages": stages,
                "learnt_from": made.learnt_from,
                "held_back": str(made.comparison),
                "is_served": made.comparison.is_surely_better,
                "never_learnt": str(compare_paired(before, right(made.state, asked, labels))),
                "seconds": round(seconds, 1),
            }
        )
    show({"machine": machine(), "classes": KNOWN, "images": len(data.images), "refined": rows}, options.output)


if __name__ == "__main__":
    main()
