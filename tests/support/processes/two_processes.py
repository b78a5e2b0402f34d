"""What one process of `test_distributed` does: two phases of each method, a benchmark. Arguments: folder, methods."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lucir_core.bench.datasets.dataset import Dataset, Split
from lucir_core.bench.protocol import Protocol
from lucir_core.bench.run_protocol import run_benchmark
from lucir_core.bench.spec import RunSpec
from lucir_core.phase import Progress, run_phase
from lucir_core.runtime.distributed import processes, world
from lucir_core.state import save_state
from lucir_core.testing import synthetic_images, synthetic_phase, tiny_config

# 50 + 20 images in batches of 16: the last one has 6, its shares 3 and 3; phase 0 has 51, its last batch 3.
SETTINGS: dict[str, Any] = {
    "epochs": 2,
    "milestones": [1],
    "lr": 0.002,
    "cbf": {"enabled": True, "epochs": 1},
    "eeil": {"finetune_epochs": 1, "finetune_milestones": [], "views": 1, "gradient_noise": 0.1},
    "der": {"warmup_epochs": 1, "classifier_epochs": 1, "classifier_milestones": []},
    "augment": {"crop_padding": 1, "brightness": 0.2, "contrast": 0.3, "offset": 20},
}


def learn(folder: Path, method: str) -> list[dict[str, float]]:
    losses = []

    def report(progress: Progress) -> None:
        losses.append(progress.losses)

    config = tiny_config({**SETTINGS, "method": method})
    first = run_phase(config, synthetic_phase(dict.fromkeys(range(3), 17), 3), None, seed=4)
    second = run_phase(
        config, synthetic_phase({3: 25, 4: 25}, 5), first, seed=4, report=report, resume=folder / "resume"
    )
    if world().is_main_process:
        save_state(first, folder / f"{method}-start")
        save_state(second, folder / method)
    return losses


def bench(folder: Path) -> None:
    def split(count: int, seed: int) -> Split:
        images = np.concatenate([synthetic_images(label, count, seed) for label in range(5)])
        return Split(images, np.repeat(np.arange(5), count))

    dataset = Dataset("tiny", split(12, 0), split(10, 1), tuple("abcde"))
    settings = {"network": "resnet8", "size": 16, "resize": 16, "epochs": 3, "milestones": [2], "batch_size": 16}
    settings |= {"exemplars_per_class": 4, "augment.crop_padding": 1, "lr": 0.005}
    spec = RunSpec("tiny", Protocol("custom", (2, 2, 1), (4, 0, 2, 1, 3)), "lucir", "cifar100", settings)
    run_benchmark(spec, dataset, folder)


def main() -> None:
    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    with processes("cpu"):
        assert world().size == int(os.environ.get("WORLD_SIZE", "1"))
        losses = [epoch for method in sys.argv[2:] for epoch in learn(folder, method)]
        if world().is_main_process:
            (folder / "losses.json").write_text(json.dumps(losses))
        bench(folder / "bench")


if __name__ == "__main__":
    main()
