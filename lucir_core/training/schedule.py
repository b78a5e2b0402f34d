"""Epochs and learning rates of a phase."""

import math
from dataclasses import dataclass

from lucir_core.config.milestones import stretched
from lucir_core.config.phase_config import PhaseConfig
from lucir_core.training.epoch_batches import batch_sizes


@dataclass(frozen=True)
class Schedule:
    """Learning rate by epoch. Milestones count finished epochs: with [80, 120], epochs 0 to 79 run at `lr`.

    kind: `multistep`, `cosine` (half a cosine down to 0) or `warmup` (rising in equal steps to `lr`).
    """

    epochs: int
    lr: float
    kind: str = "multistep"
    milestones: tuple[int, ...] = ()
    gamma: float = 0.1

    def lr_at(self, epoch: int) -> float:
        """Learning rate during epoch 0, 1, ..."""
        if self.kind == "warmup":
            return self.lr * (epoch + 1) / self.epochs
        if self.kind == "cosine":
            return self.lr * 0.5 * (1.0 + math.cos(math.pi * epoch / self.epochs))
        return self.lr * self.gamma ** sum(epoch >= milestone for milestone in self.milestones)


def phase_schedule(config: PhaseConfig, image_count: int, *, first: bool) -> Schedule:
    """The schedule of a phase over `image_count` images; `first` for phase 0.

    Where the epochs make fewer optimiser steps than `min_steps`, epochs and milestones are stretched alike.
    """
    epochs, milestones = config.epochs, config.milestones
    if first and config.initial_epochs is not None:
        milestones = stretched(milestones, config.initial_epochs / epochs)
        epochs = config.initial_epochs
    if first and config.initial_milestones is not None:
        milestones = config.initial_milestones
    steps_per_epoch = len(batch_sizes(image_count, config.batch_size))
    needed = math.ceil(config.min_steps / steps_per_epoch)
    if needed > epochs:
        milestones = stretched(milestones, needed / epochs)
        epochs = needed
    return Schedule(epochs, config.lr, config.schedule, milestones, config.gamma)
