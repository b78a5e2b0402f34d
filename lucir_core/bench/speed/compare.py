"""Loops side by side: every one a child process, one round of steps each in turn, so that what else the machine does
meets all of them alike. The figures are medians over the rounds."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Self

import numpy as np

from lucir_core.bench.datasets.dataset import Dataset
from lucir_core.bench.speed.equality import step_equality
from lucir_core.errors import LearningError
from lucir_core.runtime.acceleration import has_compiler
from lucir_core.runtime.threads import WAIT_POLICY

OLD_CLASSES, NEW_CLASSES = 50, 10
"""The middle of the protocol with 5 phases: the first half of CIFAR-100 known, ten classes new."""

EXEMPLARS = 20
BEST = "ours, alone and compiled"
"""How long runs go on a machine that does nothing else: ``lucir bench --alone --acceleration auto,+compiled``."""
NO_TEACHER: Mapping[str, Any] = {"less_forget": False}


@dataclass(frozen=True)
class Variant:
    """One loop."""

    name: str
    loop: str
    acceleration: str = "auto"
    settings: Mapping[str, Any] = field(default_factory=dict)
    spins: bool = False
    """OpenMP's threads spin while they wait, as they do by default."""


def variants(device: str) -> tuple[Variant, ...]:
    """The reference, our loop, our loop without its teacher, and with one acceleration off at a time."""
    on_processor = device == "cpu"
    names = ["channels_last", "folded_teacher"]
    names += ["keep_memory"] if on_processor else ["bfloat16", "captured", "tensor_float32", "fused", "epoch_graphs"]
    compiled = () if on_processor or not has_compiler() else (Variant("with compiled", "ours", "auto,+compiled"),)
    return (
        Variant("reference", "reference", spins=True),
        Variant("ours", "ours"),
        *((Variant("ours, alone", "ours", spins=True),) if on_processor else ()),
        *((Variant(BEST, "ours", "auto,+compiled", spins=True),) if on_processor and has_compiler() else ()),
        Variant("no teacher", "ours", settings=NO_TEACHER),
        *(Variant(f"without {name}", "ours", f"auto,-{name}") for name in names),
        *compiled,
        Variant("all off", "ours", "off"),
        Variant("all off, threads spin", "ours", "off", spins=True),
    )


class Child:
    """A loop under way; a context manager."""

    def __init__(self, job: Mapping[str, Any], *, spins: bool) -> None:
        own = {name: value for name, value in os.environ.items() if name not in WAIT_POLICY}
        environment = own if spins else {**own, **WAIT_POLICY}
        command = [sys.executable, "-m", "lucir_core.bench.speed.loop_process"]
        self._process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        self._tell(json.dumps(job))
        self.facts = self._answer()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def steps(self, count: int) -> dict[str, float]:
        """Carry out so many steps; the seconds they took."""
        self._tell(str(count))
        return self._answer()

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None  # noqa: S101  # made with a pipe
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def _answer(self) -> dict[str, float]:
        assert self._process.stdout is not None  # noqa: S101  # made with a pipe
        line = self._process.stdout.readline()
        if not line:
            raise LearningError("a loop of the speed benchmark ended early: its error stands above")
        answer: dict[str, float] = json.loads(line)
        return answer


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    rounds: int = 5
    steps: int = 8
    network: str = "resnet32"
    batch_size: int = 128
    warmup: int = 2


def phase_images(dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """What a phase trains from: exemplars of the known classes and all images of the new ones."""
    labels = dataset.train.labels
    rows = [np.flatnonzero(labels == label)[:EXEMPLARS] for label in range(OLD_CLASSES)]
    rows += [np.flatnonzero(labels == label) for label in range(OLD_CLASSES, OLD_CLASSES + NEW_CLASSES)]
    chosen = np.concatenate(rows)
    return np.asarray(dataset.train.images[chosen]), labels[chosen]


def compare(
    dataset: Dataset,
    device: str,
    plan: Plan,
    chosen: Sequence[Variant],
    report: Callable[[str, int], None] = lambda name, number: None,
) -> dict[str, Any]:
    """Images per second of every variant by round, as plain values. report: called before every round of a variant."""
    images, labels = phase_images(dataset)
    with _data_file(images, labels) as path, ExitStack() as stack:
        children = {}
        for variant in chosen:
            job = {
                "loop": variant.loop,
                "acceleration": variant.acceleration,
                "settings": {"network": plan.network, "batch_size": plan.batch_size, **variant.settings},
                "data": str(path),
                "classes": [OLD_CLASSES, NEW_CLASSES],
                "device": device,
            }
            children[variant.name] = stack.enter_context(Child(job, spins=variant.spins))
        for child in children.values():
            child.steps(plan.warmup)
        rates: dict[str, list[float]] = {name: [] for name in children}
        used: dict[str, list[float]] = {name: [] for name in children}
        for number in range(plan.rounds):
            for name, child in children.items():
                report(name, number)
                answer = child.steps(plan.steps)
                rates[name].append(plan.steps * plan.batch_size / answer["seconds"])
                used[name].append(answer["processor_seconds"] / plan.steps)
    return {"images_per_second": rates, "processor_seconds_per_step": used}


def equality(dataset: Dataset, device: str, plan: Plan) -> dict[str, dict[str, float | bool]]:
    """One step with each acceleration that acts on the device beside the plain one (`speed.equality`)."""
    images, labels = phase_images(dataset)
    names = ["channels_last", "folded_teacher", "epoch_graphs" if device == "cpu" else "captured,+epoch_graphs"]
    if device != "cpu":
        names += ["captured", "fused", "tensor_float32", "bfloat16", *(["compiled"] if has_compiler() else [])]
    settings = {"network": plan.network, "batch_size": plan.batch_size}
    return step_equality(images, labels, (OLD_CLASSES, NEW_CLASSES), device, names, **settings)


def summary(rates: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """Ratios within each round, and their medians."""
    ours = rates["ours"]
    result: dict[str, Any] = {"images_per_second": {name: median(values) for name, values in rates.items()}}
    result["over_reference"] = median(one / two for one, two in zip(ours, rates["reference"], strict=True))
    if BEST in rates:
        result["best_over_reference"] = median(
            one / two for one, two in zip(rates[BEST], rates["reference"], strict=True)
        )
    result["teacher_share"] = median(two / one - 1.0 for one, two in zip(ours, rates["no teacher"], strict=True))
    result["gain_of"] = {
        name.removeprefix("without "): median(one / two for one, two in zip(ours, values, strict=True))
        for name, values in rates.items()
        if name.startswith(("without ", "all off"))
    }
    result["gain_with"] = {
        name.removeprefix("with "): median(one / two for one, two in zip(values, ours, strict=True))
        for name, values in rates.items()
        if name.startswith("with ")
    }
    return result


@contextmanager
def _data_file(images: np.ndarray, labels: np.ndarray) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "images.npz"
        np.savez(path, images=images, labels=labels)
        yield path
