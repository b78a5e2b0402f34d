"""What refining the backbone changes on a folder of class folders, on images that nothing was ever learnt from.

    python -m benchmarks.photos.refined FOLDER --output benchmarks/photos/refined.json
    python -m benchmarks.photos.refined FOLDER --devices cuda cpu --stages 1 2

Twelve classes, chosen and shuffled by the seed; at most 45 images of each are learnt, all others are asked. For each
device and each number of stages: what the refinement itself finds on the images that it holds back, what is right of
the others before and after, the seconds that it takes, of them those of training, and the memory on a GPU.
"""

import argparse
import time
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps

from benchmarks.result import machine, show
from lucir_core import LearnerState, PhaseData, Progress, load_preset, run_phase
from lucir_core.config.phase_config import PhaseConfig
from lucir_core.config.refine_settings import Refine
from lucir_core.frozen.extraction import FeatureExtractor
from lucir_core.refine.paired import compare_paired
from lucir_core.refine.refinement import Refined, refine_state

KNOWN, SEED = 12, 1993


def read(folder: Path, learnt: int) -> tuple[PhaseData, NDArray[np.uint8], NDArray[np.int64]]:
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
            parts[place >= learnt].append(np.asarray(image))
            labels[place >= learnt].append(label)
    names = tuple(path.name for path in chosen)
    return PhaseData(np.stack(parts[0]), np.array(labels[0]), names), np.stack(parts[1]), np.array(labels[1])


def right(state: LearnerState, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which images are answered rightly."""
    features = FeatureExtractor(state.model, state.config.size)(images)
    found: NDArray[np.bool_] = state.model.head(torch.from_numpy(features)).logits.argmax(dim=1).numpy() == labels
    return found


def refined(config: PhaseConfig, data: PhaseData, frozen: LearnerState, device: str) -> tuple[Refined, dict[str, Any]]:
    """What was made on this device, and what it took."""
    on_gpu = torch.device(device).type == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(device)
    started, times = time.monotonic(), {"maps": 0.0, "features": 0.0}

    def tick(progress: Progress) -> None:
        """When the maps were ready, and when the features began."""
        seconds = time.monotonic() - started
        if progress.stage == "maps":
            times["maps"] = seconds
        elif progress.stage != "features":
            times["features"] = seconds

    made = refine_state(config, data, frozen, device=device, report=tick)
    cost: dict[str, Any] = {
        "device": torch.cuda.get_device_name(device) if on_gpu else device,
        "seconds": round(time.monotonic() - started, 1),
        "maps_seconds": round(times["maps"], 1),
        "training_seconds": round(times["features"] - times["maps"], 1),
    }
    if on_gpu:
        cost["gpu_gigabytes"] = round(torch.cuda.max_memory_allocated(device) / 1e9, 2)
    return made, cost


def main() -> None:
    """Read, learn, refine, ask."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--learnt", type=int, default=45, help="images of each class to learn")
    parser.add_argument("--devices", nargs="+", default=["cpu"])
    parser.add_argument("--stages", type=int, nargs="+", default=[1])
    parser.add_argument("--steps", type=int, default=Refine.steps)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    data, asked, labels = read(options.folder, options.learnt)
    frozen = run_phase(load_preset("photo"), data, None)
    before = right(frozen, asked, labels)
    rows: list[dict[str, Any]] = []
    for device, stages in product(options.devices, options.stages):
        config = load_preset("photo", {"refine.stages": stages, "refine.steps": options.steps})
        made, cost = refined(config, data, frozen, device)
        rows.append(
            {
                "stages": stages,
                "steps": options.steps,
                "learnt_from": made.learnt_from,
                "held_back": str(made.comparison),
                "is_served": made.comparison.is_surely_better,
                "never_learnt": str(compare_paired(before, right(made.state, asked, labels))),
                **cost,
            }
        )
    show({"machine": machine(), "classes": KNOWN, "images": len(data.images), "refined": rows}, options.output)


if __name__ == "__main__":
    main()
