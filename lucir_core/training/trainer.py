"""The training loop. It knows stages, batches and losses, and no method by name."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lucir_core.config.phase_config import Augmentation
from lucir_core.data.augment import augment_batch
from lucir_core.data.phase_data import ImageSet
from lucir_core.errors import ConfigError, DataError, DivergedError
from lucir_core.runtime.acceleration import AUTO, Acceleration
from lucir_core.runtime.distributed import agree_on, world
from lucir_core.runtime.randomness import generator
from lucir_core.training.epoch_batches import batches
from lucir_core.training.recorded_epoch import RecordedEpoch
from lucir_core.training.schedule import Schedule
from lucir_core.training.step import CapturedStep, LossFunction, LossTerm, MeteredStep, Step

__all__ = ["LossFunction", "LossTerm", "Stage", "train_stage"]


@dataclass(frozen=True, eq=False)
class Stage:
    """One run of the optimiser: what it trains, on which images, by which loss, for how long."""

    name: str
    model: nn.Module
    parameters: tuple[nn.Parameter, ...]
    """Trained; every other parameter of the model is frozen during the stage."""
    loss: LossFunction
    indices: Tensor
    """(n,) which images of the set, each once an epoch."""
    schedule: Schedule
    batch_size: int
    momentum: float
    weight_decay: float
    eval_mode: tuple[nn.Module, ...] = ()
    """Parts of the model that stay in eval mode: their normalisation statistics do not move."""
    counted: bool = False
    """Count the floating-point operations of the first step."""
    gradient_noise: Callable[[int], float] | None = None
    """By epoch: standard deviation of Gaussian noise on the gradient as summed, not averaged, over a batch."""


@dataclass(frozen=True)
class EpochReport:
    """After an epoch: `epoch` is the number of finished epochs, `losses` are means over its batches, unweighted."""

    stage: str
    epoch: int
    epochs: int
    losses: Mapping[str, float]
    lr: float
    flops: float | None = None
    """Of one epoch's steps, where the stage counts them: multiplications and additions, each for itself."""


class Position(NamedTuple):
    """Where a resumed stage continues: finished epochs, and the optimiser's momentum by parameter."""

    epoch: int
    momentum: tuple[Tensor | None, ...]


def train_stage(
    stage: Stage,
    images: ImageSet,
    size: int,
    augment: Augmentation,
    seed: int,
    on_epoch: Callable[[EpochReport, torch.optim.SGD], None],
    position: Position | None = None,
    acceleration: Acceleration = AUTO,
) -> None:
    """Run a stage, or the rest of it from `position`; calls `on_epoch` after every epoch.

    A fresh optimiser per stage. Raises DivergedError when an epoch's loss is not finite, before `on_epoch` is called,
    so that whatever the caller last kept is still good.
    """
    if stage.batch_size < world().size:
        raise ConfigError(f"batch_size is {stage.batch_size} for {world().size} processes: give one image to each")
    agree_on(stage.model)
    trained = tuple(parameter for parameter in stage.parameters if parameter.numel())
    chosen = {id(parameter) for parameter in trained}
    for parameter in stage.model.parameters():
        parameter.requires_grad_(id(parameter) in chosen)
    alone = world().size == 1 and stage.gradient_noise is None
    on_gpu = images.device.type == "cuda"
    captured = alone and on_gpu and acceleration.captured
    at_hand = captured and images.is_resident if on_gpu else not images.is_slow
    whole_epochs = acceleration.epoch_graphs and alone and at_hand
    # A graph keeps the numbers it was recorded with; a tensor is read again at every step.
    lr = torch.tensor(stage.schedule.lr, device=images.device) if captured else stage.schedule.lr
    optimiser = torch.optim.SGD(trained, lr=lr, momentum=stage.momentum, weight_decay=stage.weight_decay, fused=True)
    start = 0
    if position is not None:
        start = position.epoch
        restore_momentum(optimiser, position.momentum)
    searched = stage.batch_size if on_gpu and acceleration.tensor_float32 else None
    plain = Step(stage.loss, trained, optimiser, world(), searched)
    in_graph = captured and not whole_epochs
    step = MeteredStep(CapturedStep(plain, stage.batch_size) if in_graph else plain, stage.counted)
    contiguous = not acceleration.channels_last
    loop = (
        RecordedEpoch(step, images, stage.indices, stage.batch_size, size, augment, contiguous=contiguous)
        if whole_epochs
        else _Loop(stage, images, size, augment, step, contiguous)
    )
    for epoch in range(start, stage.schedule.epochs):
        on_epoch(_run_epoch(stage, epoch, loop, step, optimiser, seed), optimiser)
    stage.model.eval()


def _run_epoch(
    stage: Stage,
    epoch: int,
    loop: "_Loop | RecordedEpoch",
    step: MeteredStep,
    optimiser: torch.optim.SGD,
    seed: int,
) -> EpochReport:
    """`epoch` counts from 0. Raises as `train_stage` does."""
    stage.model.train()
    for module in stage.eval_mode:
        module.eval()
    lr = stage.schedule.lr_at(epoch)
    _set_lr(optimiser, lr)
    with _explained(stage):
        losses = loop.run(seed, stage.name, epoch)
    _check_finite(stage, epoch, losses)
    flops = None if step.flops_per_image is None else step.flops_per_image * len(stage.indices)
    return EpochReport(stage.name, epoch + 1, stage.schedule.epochs, losses, lr, flops)


def _set_lr(optimiser: torch.optim.SGD, value: float) -> None:
    for group in optimiser.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(value)
        else:
            group["lr"] = value


def momentum_of(optimiser: torch.optim.SGD) -> tuple[Tensor | None, ...]:
    """Momentum buffers in the order of the parameters; None before the first step or without momentum."""
    (group,) = optimiser.param_groups
    return tuple(optimiser.state[parameter].get("momentum_buffer") for parameter in group["params"])


def restore_momentum(optimiser: torch.optim.SGD, momentum: tuple[Tensor | None, ...]) -> None:
    """Put back what `momentum_of` gave."""
    (group,) = optimiser.param_groups
    for parameter, buffer in zip(group["params"], momentum, strict=True):
        if buffer is not None:
            # In the parameter's memory layout, which a saved tensor has lost.
            optimiser.state[parameter]["momentum_buffer"] = torch.empty_like(parameter).copy_(buffer).detach()


@dataclass(eq=False)
class _Loop:
    """The batches of an epoch through one step each. Nothing is read back from the device before its end."""

    stage: Stage
    images: ImageSet
    size: int
    augment: Augmentation
    step: MeteredStep
    contiguous: bool

    def run(self, seed: int, name: str, epoch: int) -> dict[str, float]:
        """Mean loss terms of one epoch of the stage called `name`."""
        stage, processes = self.stage, world()
        random = generator(self.images.device, seed, name, epoch)
        parts = list(batches(stage.indices, stage.batch_size, random))
        shares = [(len(part), processes.share(len(part))) for part in parts]
        mine = [part[share] for part, (_, share) in zip(parts, shares, strict=True)]
        noise = stage.gradient_noise(epoch) if stage.gradient_noise else 0.0
        totals: Tensor | None = None
        for indices, share, raw in zip(parts, shares, self.images.batches(mine), strict=True):
            images = augment_batch(raw, self.size, self.augment, random, share)
            images = images.contiguous() if self.contiguous else images
            labels = self.images.labels[indices]
            change = partial(add_gradient_noise, deviation=noise / len(indices), random=random) if noise else None
            values = self.step(images, labels, change)
            totals = values.clone() if totals is None else totals + values
        assert totals is not None  # noqa: S101  # a stage has images
        return dict(zip(self.step.names, totals.div(len(parts)).tolist(), strict=True))


def add_gradient_noise(parameters: Iterable[nn.Parameter], deviation: float, random: torch.Generator) -> None:
    """Add Gaussian noise to every gradient that there is; `deviation` in units of the mean over the batch."""
    for parameter in parameters:
        if parameter.grad is not None:
            noise = torch.empty_like(parameter.grad, memory_format=torch.contiguous_format)
            parameter.grad.add_(noise.normal_(0.0, deviation, generator=random))


@contextmanager
def _explained(stage: Stage) -> Iterator[None]:
    """Batch normalisation of one image whose feature map is one pixel has nothing to normalise over: say so."""
    try:
        yield
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise DataError(
            f"stage {stage.name} trains on {len(stage.indices)} image(s) in batches of {stage.batch_size}, and the "
            "network's last feature map is one pixel: give at least 2 images, batch_size 2 or more, or a larger size"
        ) from error


def _check_finite(stage: Stage, epoch: int, losses: Mapping[str, float]) -> None:
    bad = [f"{name} = {value}" for name, value in losses.items() if not math.isfinite(value)]
    if bad:
        raise DivergedError(
            f"training diverged in stage {stage.name}, epoch {epoch + 1} of {stage.schedule.epochs}: {', '.join(bad)}; "
            f"lower lr (it was {stage.schedule.lr_at(epoch):g}) or the loss weights and learn the phase again"
        )
