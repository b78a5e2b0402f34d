"""iCaRL (Rebuffi et al., CVPR 2017) as papers since LUCIR compare with it: exemplars and distilled logits.

A phase minimises CE over all classes seen so far + KL(teacher || student) over the old classes' logits at temperature
2, weight 1, over the new images and the exemplars together, all of them distilled. Linear head with bias, last ReLU
kept, nothing frozen; new rows start as drawn. One training gives both readouts: the head's ("iCaRL-CNN") and the
nearest mean of exemplars ("iCaRL-NME"). Source: the baseline in LUCIR's published code, whose weight T^2 * 0.25 is 1
and whose mean over elements times the number of old classes is the mean over the batch. `icarl_original` is the loss
of 2017.

What we do differently: a phase without new classes distils and trains the known rows as any other.

`distillation.cross_entropy: new` with `distillation.weight: 3` and without exemplars is the variant `lwf_task`.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from lucir_core.config.method_settings import Distillation
from lucir_core.losses.distillation import distillation_loss, new_class_loss
from lucir_core.losses.rebalancing import cross_entropy_loss
from lucir_core.methods.base import METHODS, OnLinearHead
from lucir_core.methods.finetune import train_all
from lucir_core.models.model import IncrementalModel, Output
from lucir_core.training.phase_run import PhaseRun
from lucir_core.training.schedule import phase_schedule
from lucir_core.training.trainer import LossFunction, LossTerm


@METHODS.register("icarl")
class Icarl(OnLinearHead):
    """Cross-entropy and distilled logits, with exemplars."""

    def learn(self, run: PhaseRun) -> None:
        """One stage over everything trainable."""
        learn_distilled(run, replay=run.config.replay is not False)


def learn_distilled(run: PhaseRun, *, replay: bool) -> None:
    """One stage of cross-entropy and distillation, with or without the exemplars of earlier phases."""
    indices = run.training_indices(replay=replay)
    if run.teacher is None:
        train_all(run, indices, first=True)
        return
    schedule = phase_schedule(run.config, len(indices), first=False)
    run.train("main", distilled_loss(run, run.teacher), indices, schedule, tuple(run.model.parameters()))


def distilled_loss(run: PhaseRun, teacher: IncrementalModel) -> LossFunction:
    """The objective of a phase after the first."""
    model, choice, old_count = run.model, run.config.settings_of(Distillation), run.old_count

    def loss(images: Tensor, labels: Tensor) -> Mapping[str, LossTerm]:
        output: Output = model(images)
        with torch.no_grad():
            target: Output = teacher(images)
        if choice.cross_entropy == "all":
            classification = cross_entropy_loss(output.logits, labels)
        else:
            classification = new_class_loss(output.logits, labels, old_count)
        divergence = distillation_loss(output.logits, target.logits, choice.temperature)
        return {"cross_entropy": LossTerm(classification), "distillation": LossTerm(divergence, choice.weight)}

    return loss
