"""kill -9 at any moment of any method: the next start goes on, and ends with the bits of an uninterrupted run."""

import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lucir_core.bench.datasets.dataset import Dataset, Split
from lucir_core.bench.protocol import Protocol
from lucir_core.bench.result_file import read_json
from lucir_core.bench.run_protocol import RunProgress, run_benchmark
from lucir_core.bench.spec import RunSpec
from lucir_core.methods import METHODS
from lucir_core.state import LearnerState, load_state
from lucir_core.testing import synthetic_images
from tests.support.learning.tiny import SHORT, weights_equal
from tests.support.processes.forked import Child

RANDOM_KILLS = 3
TINY = {
    "network": "resnet8",
    "size": 12,
    "resize": 12,
    "batch_size": 16,
    "exemplars_per_class": 4,
    "augment.crop_padding": 1,
    **SHORT,
}
MASKED = "der, masks"
EVERY = [*METHODS.names(), MASKED]


def split(count: int, seed: int) -> Split:
    images = np.concatenate([synthetic_images(label, count, seed, 12) for label in range(4)])
    return Split(images, np.repeat(np.arange(4), count))


def learn(report: Callable[[RunProgress], None], name: str, folder: Path) -> Path:
    """Two phases of two classes with any method, saved and measured as `lucir bench` does it."""
    masks = {"der.masks": True} if name == MASKED else {}
    method = "der" if name == MASKED else name
    spec = RunSpec("tiny", Protocol("custom", (2, 2), (2, 0, 3, 1)), method, "cifar100", {**TINY, **masks})
    dataset = Dataset("tiny", split(10, 0), split(4, 1), ("a", "b", "c", "d"))
    return run_benchmark(spec, dataset, folder, report=report, keep_states=True)


def place(progress: RunProgress) -> tuple[int, str]:
    return progress.phase, "measured" if progress.training is None else progress.training.stage


def step_by_step(call: Callable[[Any], None], name: str, folder: Path) -> None:
    learn(lambda progress: call(place(progress)), name, folder)


def straight_on(call: Callable[[Any], None], name: str, folder: Path) -> None:
    call("begun")
    learn(lambda progress: None, name, folder)


def kill_at(where: tuple[int, str], name: str, folder: Path) -> None:
    """Kill a child in its first epoch of a stage (or after measuring a phase)."""
    child = Child(step_by_step, name, folder)
    while (message := child.message()) != where:
        assert message is not None, f"the run ended before {where}"
        child.go_on()
    assert child.kill() == -signal.SIGKILL


def last_state(folder: Path) -> LearnerState:
    (found,) = (folder / "work").glob("*/phase-1")
    return load_state(found)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", EVERY)
def test_killed_in_every_stage_and_at_random_moments(name: str, tmp_path: Path) -> None:
    places: list[tuple[int, str]] = []
    times: list[float] = []

    def report(progress: RunProgress) -> None:
        places.append(place(progress))
        times.append(time.monotonic())

    whole = read_json(learn(report, name, tmp_path / "whole"))

    folder, draws = tmp_path / "killed", random.Random(name)
    for where in dict.fromkeys(places[:-1]):
        kill_at(where, name, folder)
    # Again from the start, at moments that nobody chose.
    other = tmp_path / "random"
    for _ in range(RANDOM_KILLS):
        child = Child(straight_on, name, other)
        assert child.message() == "begun"
        child.go_on()
        time.sleep(draws.uniform(0.0, times[-1] - times[0]))
        child.kill()

    for interrupted in (folder, other):
        result = read_json(learn(lambda progress: None, name, interrupted))
        assert [result[readout] for readout in ("cnn", "nme")] == [whole[readout] for readout in ("cnn", "nme")]
        state, expected = last_state(interrupted), last_state(tmp_path / "whole")
        assert weights_equal(state.model, expected.model)
        assert torch.equal(state.prototypes, expected.prototypes)
        assert state.exemplars.pngs == expected.exemplars.pngs
    assert len(read_json(folder / f"{whole_name(whole)}.json")["pieces"]) == len(dict.fromkeys(places[:-1])) + 1


def whole_name(result: dict[str, Any]) -> str:
    return f"tiny.custom-1.{result['label']}.{result['seed']}"
