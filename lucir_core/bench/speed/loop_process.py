"""One loop in a process of its own: reads a job, then carries out as many steps as each line of its input asks for.

Answers every line with the seconds that passed, and at first with one line when it is ready.
"""

import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lucir_core.bench.speed.reference import ReferenceLoop
from lucir_core.config.phase_config import PhaseConfig, load_preset
from lucir_core.data.phase_data import ImageSet
from lucir_core.methods.base import grown_model
from lucir_core.methods.lucir import incremental_loss
from lucir_core.models.heads import growing
from lucir_core.models.model import create_model, place, teacher_of
from lucir_core.runtime.acceleration import Acceleration, accelerated
from lucir_core.runtime.randomness import generator
from lucir_core.training.checkpoint import Checkpoint
from lucir_core.training.phase_run import PhaseRun
from lucir_core.training.schedule import Schedule
from lucir_core.training.trainer import Stage, train_stage


class OurLoop:
    """One phase of LUCIR through the library's own trainer."""

    def __init__(
        self,
        config: PhaseConfig,
        images: np.ndarray,
        labels: np.ndarray,
        counts: tuple[int, int],
        device: str,
        acceleration: Acceleration,
    ) -> None:
        before = create_model(config, 1)
        growing(before.head).grow(counts[0], generator("cpu", 1, "head"))
        model = grown_model(config, before, counts[1], 1)
        self.teacher = teacher_of(before, device, acceleration)
        self.run = PhaseRun(
            config=config,
            model=place(model, device, acceleration),
            teacher=self.teacher,
            images=ImageSet([images], [labels], torch.device(device)),
            labels=labels,
            kept=labels < counts[0],
            old_count=counts[0],
            new_count=counts[1],
            seed=1,
            checkpoint=Checkpoint(None, ""),
            report=lambda _: None,
            lambda_=5.0,
            acceleration=acceleration,
        )

    def steps(self, count: int) -> None:
        """So many optimiser steps: an epoch of just so many batches."""
        self.epochs(count, Schedule(1, self.run.config.lr))

    def epochs(self, count: int, schedule: Schedule) -> None:
        """A schedule of epochs of `count` batches each."""
        run, config = self.run, self.run.config
        chosen = torch.arange(count * config.batch_size, device=run.images.device) % len(run.images)
        stage = Stage(
            name="main",
            model=run.model,
            parameters=tuple(p for p in run.model.parameters() if p is not run.model.head.old),
            loss=incremental_loss(run),
            indices=chosen,
            schedule=schedule,
            batch_size=config.batch_size,
            momentum=config.momentum,
            weight_decay=config.weight_decay,
        )
        train_stage(stage, run.images, config.size, config.augment, 1, lambda *_: None, acceleration=run.acceleration)


def make_loop(job: dict[str, Any]) -> tuple[ReferenceLoop | OurLoop, Acceleration]:
    """job: loop, settings, acceleration, data, classes, device."""
    config = load_preset("cifar100", job["settings"])
    data = np.load(Path(job["data"]), allow_pickle=False)
    counts = (job["classes"][0], job["classes"][1])
    if job["loop"] == "reference":
        loop = ReferenceLoop(config, data["images"], data["labels"], counts, torch.device(job["device"]))
        return loop, Acceleration.parse("off")
    acceleration = Acceleration.parse(job["acceleration"])
    return OurLoop(config, data["images"], data["labels"], counts, job["device"], acceleration), acceleration


def main() -> None:
    """Until the input ends."""
    job = json.loads(sys.stdin.readline())
    loop, acceleration = make_loop(job)
    with accelerated(acceleration, torch.device(job["device"])):
        _say({"threads": torch.get_num_threads()})
        for line in sys.stdin:
            count = int(line)
            begin, used = time.perf_counter(), _processor_seconds()
            loop.steps(count)
            if job["device"].startswith("cuda"):
                torch.cuda.synchronize()
            _say({"seconds": time.perf_counter() - begin, "processor_seconds": _processor_seconds() - used})


def _processor_seconds() -> float:
    facts = resource.getrusage(resource.RUSAGE_SELF)
    return facts.ru_utime + facts.ru_stime


def _say(answer: dict[str, float]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
