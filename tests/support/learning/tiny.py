"""Two tiny phases of any method, and a phase about to begin."""

from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from lucir_core.config.phase_config import PhaseConfig
from lucir_core.data.phase_data import ImageSet
from lucir_core.methods import IncrementalMethod, create_method
from lucir_core.models.model import frozen_copy
from lucir_core.phase import PhaseData, Progress, run_phase
from lucir_core.state import LearnerState
from lucir_core.testing import synthetic_phase, tiny_config
from lucir_core.training.checkpoint import Checkpoint
from lucir_core.training.phase_run import PhaseRun

SHORT = {
    "epochs": 3,
    "milestones": [2],
    "lr": 0.05,
    "cbf": {"enabled": True, "epochs": 2},
    "eeil": {"finetune_epochs": 2, "finetune_milestones": [1], "gradient_noise": 0.3},
    "der": {"warmup_epochs": 1, "classifier_epochs": 2, "classifier_milestones": [1]},
}


def short_config(method: str, **changes: Any) -> PhaseConfig:
    return tiny_config(SHORT | {"method": method} | changes)


def first_phase() -> PhaseData:
    return synthetic_phase({0: 12, 1: 12, 2: 12}, 3)


def second_phase(method: str) -> PhaseData:
    labels = range(5) if method == "joint" else (3, 4)
    return synthetic_phase(dict.fromkeys(labels, 12), 5)


@lru_cache
def learnt(method: str) -> tuple[LearnerState, LearnerState]:
    """Three classes, then two more; learnt once for all tests, so they only read it.

    On one thread, wherever it is called first: the bits of the weights depend on the number of threads.
    """
    config, threads = short_config(method), torch.get_num_threads()
    torch.set_num_threads(1)
    first = run_phase(config, first_phase(), None, seed=1)
    second = run_phase(config, second_phase(method), first, seed=1)
    torch.set_num_threads(threads)
    return first, second


def about_to_learn(method: str, **changes: Any) -> PhaseRun:
    """Phase 1 of `method`, before it is learnt."""
    previous, config, data = learnt(method)[0], short_config(method, **changes), second_phase(method)
    return run_of(config, previous, data, create_method(method), seed=5, phase_sizes=previous.phase_sizes)


def run_of(
    config: PhaseConfig, previous: LearnerState, data: PhaseData, method: IncrementalMethod, seed: int, **facts: Any
) -> PhaseRun:
    """A phase that adds two classes to three, before it is learnt."""
    labels = np.concatenate([data.labels, previous.exemplars.labels])
    images = [data.images, previous.exemplars.decode_all(config.resize)]
    return PhaseRun(
        config=config,
        model=method.start(config, previous.model, 3, 2, seed=seed),
        teacher=frozen_copy(previous.model),
        images=ImageSet(images, [labels], torch.device("cpu")),
        labels=labels,
        kept=np.arange(len(labels)) >= len(data.labels),
        old_count=3,
        new_count=2,
        seed=seed,
        checkpoint=Checkpoint(None, ""),
        report=lambda progress: None,
        **facts,
    )


def some_images(count: int = 8) -> torch.Tensor:
    """(count, 3, side, side) on the scale 0 to 255, of all five classes in turn."""
    images = synthetic_phase(dict.fromkeys(range(5), 4), 5, seed=7).images
    return torch.from_numpy(images[np.arange(count) * 3 % len(images)]).permute(0, 3, 1, 2).float()


def weights_equal(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    """Same names, and bit-identical values, buffers included."""
    a, b = one.state_dict(), other.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


class KilledError(Exception):
    pass


def killed_again_and_again(
    learn: Callable[..., LearnerState], *, in_last_epochs: bool = False
) -> tuple[list[Progress], LearnerState]:
    """Learn a phase that ends whenever it reaches a stage it was not in, resumed each time; all that it reported."""
    seen: list[Progress] = []
    for _ in range(20):
        met = {progress.stage for progress in seen}

        def report(progress: Progress, met: set[str] = met) -> None:
            seen.append(progress)
            if progress.stage not in met or (in_last_epochs and progress.epoch == progress.epochs):
                raise KilledError

        with suppress(KilledError):
            return seen, learn(report=report)
    raise AssertionError(f"it does not end: {seen[-1]}")
