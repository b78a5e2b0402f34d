"""The training loop. It knows stages, batches and losses, and no method by name."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lucir_core.augment import augment_batch
from lucir_core.config import Augmentation
from lucir_core.data import ImageSet
from lucir_core.errors import DivergedError
from lucir_core.randomness import generator
from lucir_core.schedule import Schedule


class LossTerm(NamedTuple):
    """One component of a loss: its value, and the weight it enters the sum with."""

    value: Tensor
    weight: float = 1.0


LossFunction = Callable[[Tensor, Tensor], Mapping[str, LossTerm]]
"""From images (batch, 3, size, size) on the scale 0 to 255 and labels (batch,) to named loss terms."""


@dataclass(frozen=True, eq=False)
class Stage:
    """One run of the optimiser: what it trains, on which pictures, by which loss, for how long."""

    name: str
    model: nn.Module
    parameters: tuple[nn.Parameter, ...]
    """Trained; every other parameter of the model is frozen during the stage."""
    loss: LossFunction
    indices: Tensor
    """(n,) which pictures of the set, each once an epoch."""
    schedule: Schedule
    batch_size: int
    momentum: float
    weight_decay: float
    eval_mode: tuple[nn.Module, ...] = ()
    """Parts of the model that stay in eval mode: their normalisation statistics do not move."""
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
) -> None:
    """Run a stage, or the rest of it from `position`; calls `on_epoch` after every epoch.

    A fresh optimiser per stage. Raises DivergedError when an epoch's loss is not finite, before `on_epoch` is called,
    so that whatever the caller last kept is still good.
    """
    trained = tuple(parameter for parameter in stage.parameters if parameter.numel())
    chosen = {id(parameter) for parameter in trained}
    for parameter in stage.model.parameters():
        parameter.requires_grad_(id(parameter) in chosen)
    optimiser = torch.optim.SGD(
        trained, lr=stage.schedule.lr, momentum=stage.momentum, weight_decay=stage.weight_decay, fused=True
    )
    start = 0
    if position is not None:
        start = position.epoch
        restore_momentum(optimiser, position.momentum)
    for epoch in range(start, stage.schedule.epochs):
        stage.model.train()
        for module in stage.eval_mode:
            module.eval()
        for group in optimiser.param_groups:
            group["lr"] = stage.schedule.lr_at(epoch)
        random = generator(images.device, seed, stage.name, epoch)
        noise = stage.gradient_noise(epoch) if stage.gradient_noise else 0.0
        losses = _run_epoch(stage, images, size, augment, optimiser, random, noise)
        _check_finite(stage, epoch, losses)
        on_epoch(
            EpochReport(stage.name, epoch + 1, stage.schedule.epochs, losses, stage.schedule.lr_at(epoch)), optimiser
        )
    stage.model.eval()


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


def batches(indices: Tensor, batch_size: int, shuffle: torch.Generator) -> Iterator[Tensor]:
    """Shuffled batches; the last one may be short, but is never a single picture.

    Batch normalisation has no variance over one picture of one pixel, so a lone last picture joins the batch before.
    """
    order = indices[torch.randperm(len(indices), device=indices.device, generator=shuffle)]
    ends = list(range(batch_size, len(order), batch_size))
    if ends and ends[-1] == len(order) - 1:
        ends.pop()
    for start, end in zip((0, *ends), (*ends, len(order)), strict=True):
        yield order[start:end]


def _run_epoch(
    stage: Stage,
    images: ImageSet,
    size: int,
    augment: Augmentation,
    optimiser: torch.optim.SGD,
    random: torch.Generator,
    noise: float,
) -> dict[str, float]:
    """Mean loss terms of one epoch. Nothing is read back from the device before its end."""
    totals: dict[str, Tensor] = {}
    count = 0
    for indices in batches(stage.indices, stage.batch_size, random):
        pictures = augment_batch(images.gather(indices), size, augment, random)
        terms = stage.loss(pictures, images.labels[indices])
        total = torch.stack([term.value * term.weight for term in terms.values()]).sum()
        optimiser.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        if noise:
            add_gradient_noise(stage.parameters, noise / len(indices), random)
        optimiser.step()
        count += 1
        for name, value in (*((name, term.value) for name, term in terms.items()), ("total", total)):
            totals[name] = totals.get(name, 0.0) + value.detach()
    means = torch.stack(list(totals.values())).div(count).tolist()
    return dict(zip(totals, means, strict=True))


def add_gradient_noise(parameters: Iterable[nn.Parameter], deviation: float, random: torch.Generator) -> None:
    """Add Gaussian noise to every gradient that there is; `deviation` in units of the mean over the batch."""
    for parameter in parameters:
        if parameter.grad is not None:
            noise = torch.empty_like(parameter.grad, memory_format=torch.contiguous_format)
            parameter.grad.add_(noise.normal_(0.0, deviation, generator=random))


def _check_finite(stage: Stage, epoch: int, losses: Mapping[str, float]) -> None:
    bad = [f"{name} = {value}" for name, value in losses.items() if not math.isfinite(value)]
    if bad:
        raise DivergedError(
            f"training diverged in stage {stage.name}, epoch {epoch + 1} of {stage.schedule.epochs}: {', '.join(bad)}; "
            f"lower lr (it was {stage.schedule.lr_at(epoch):g}) or the loss weights and learn the phase again"
        )
