"""How much each channel of a network's maps matters to what it knows, and the distillation weighted by that.

AFC (Kang, Park and Han, CVPR 2022): a channel's importance is the mean squared gradient of the loss with respect to its
map. The published code adds it up over all images at the end of each phase; here it is computed when the next phase
begins, on the exemplars, which are what is left of those images. So a state needs no field for it.
"""

import math

import numpy as np
import torch
from torch import Tensor

from lucir_core.config.method_settings import BeyondPaper
from lucir_core.data.augment import centre_crop
from lucir_core.losses.beyond import importance_loss
from lucir_core.losses.rebalancing import cross_entropy_loss
from lucir_core.models.model import IncrementalModel, Output
from lucir_core.training.phase_run import PhaseRun
from lucir_core.training.trainer import LossTerm

BATCH = 128


class ImportanceTerm:
    """One pass of student and teacher with the loss term between their maps."""

    def __init__(self, run: PhaseRun, weight: float) -> None:
        assert run.teacher is not None  # noqa: S101  # there is no teacher only in phase 0
        self._model, self._teacher = run.model, run.teacher
        self._weight = weight * math.sqrt((run.old_count + run.new_count) / run.learnt_count)
        self._importance = channel_importance(run)

    def __call__(self, images: Tensor) -> tuple[Output, Output, LossTerm]:
        """Outputs of student and teacher, and the term; images: (batch, 3, size, size) on the scale 0 to 255."""
        output, maps = self._model.staged(images)
        with torch.no_grad():
            target, old_maps = self._teacher.staged(images)
        return output, target, LossTerm(importance_loss(maps, old_maps, self._importance), self._weight)


def importance_term(run: PhaseRun) -> ImportanceTerm | None:
    """The term that the settings ask for; None where they do not. Raises ConfigError for a network without stages."""
    weight = run.config.settings_of(BeyondPaper).importance
    return ImportanceTerm(run, weight) if weight else None


def channel_importance(run: PhaseRun) -> list[Tensor]:
    """Of each stage of the teacher (channels,), one on average; all ones where there is no exemplar.

    Remembered in the resume file, so that a phase that goes on has the same bits.
    """
    assert run.teacher is not None  # noqa: S101  # there is no teacher only in phase 0
    teacher, kept = run.teacher, torch.from_numpy(np.flatnonzero(run.kept)).to(run.images.device)

    def compute() -> np.ndarray:
        parts = [squared_gradients(teacher, run, kept[start : start + BATCH]) for start in range(0, len(kept), BATCH)]
        sums = [torch.stack(stage).sum(dim=0) for stage in zip(*parts, strict=True)]
        means = [total / total.mean().clamp_min(torch.finfo(total.dtype).tiny) for total in sums]
        return torch.cat(means).cpu().numpy()

    sizes = [part.shape[1] for part in _maps_of_one(teacher, run)]
    if not len(kept):
        return [torch.ones(size, device=run.model.device) for size in sizes]
    flat = torch.from_numpy(run.checkpoint.remember("importance", compute))
    return list(torch.split(flat.to(run.model.device), sizes))


def squared_gradients(model: IncrementalModel, run: PhaseRun, indices: Tensor) -> list[Tensor]:
    """Of each stage (channels,): squared gradients of the cross-entropy over a map, summed over images."""
    images = centre_crop(run.images.gather(indices), run.config.size).float().requires_grad_(True)
    with torch.enable_grad():
        output, maps = model.staged(images)
        loss = cross_entropy_loss(output.logits, run.images.labels[indices]) * len(indices)
        gradients = torch.autograd.grad(loss, maps)
    return [part.float().square().sum(dim=(0, 2, 3)) for part in gradients]


@torch.no_grad()
def _maps_of_one(model: IncrementalModel, run: PhaseRun) -> tuple[Tensor, ...]:
    first = torch.zeros(1, dtype=torch.int64, device=run.images.device)
    return model.staged(centre_crop(run.images.gather(first), run.config.size))[1]
