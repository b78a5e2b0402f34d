"""EEIL: end-to-end incremental learning (Castro et al., ECCV 2018).

Stage 1 minimises CE over all classes + for every earlier phase a distillation term at temperature 2 whose softmax runs
over that phase's classes alone, on all samples. Stage 2, the balanced fine-tune, goes on with a small learning rate on
equally many images of every class (new ones herded to the old ones' number before the memory is cut; a class that has
fewer gives all) and has one more term, which holds the new classes to the model as stage 1 left it. Then the exemplars
are herded. Linear head with bias. Source: the authors' MATLAB code and the notes in FACIL.

What we do differently, and why:
- The code makes twelve altered copies of every image; we draw the same changes for every view
  (`augment.offset`, `augment.contrast`, crop, flip), and `eeil.views: 12` makes an epoch as long as theirs.
- The gradient noise (`eeil.gradient_noise`, off unless chosen) is added to the summed gradient, i.e. divided by the
  batch size on the mean, as the code has it; added to the mean it would be 128 times as strong.
- Momentum lives through a stage and the decay is `weight_decay` times w, as SGD has it; the code resets the momentum
  every epoch and multiplies its decay of 1e-4 by the squared norm of w as well, which the paper does not say.
- Terms are divergences, which have the gradients of the published soft cross-entropies and are 0 where nothing is lost.
- Earlier phases' terms in stage 2 keep the model before the phase as their teacher. No balanced fine-tune in a phase
  without new classes.
"""

from collections.abc import Mapping
from functools import partial

import numpy as np
import torch
from torch import Tensor

from lucir_core.config.method_settings import Distillation, Eeil
from lucir_core.config.phase_config import PhaseConfig
from lucir_core.config.validation import require_replay
from lucir_core.losses.distillation import distillation_loss, grouped_distillation_loss
from lucir_core.losses.rebalancing import cross_entropy_loss
from lucir_core.methods.base import METHODS, OnLinearHead
from lucir_core.models.model import IncrementalModel, Output, frozen_copy
from lucir_core.training.phase_run import PhaseRun
from lucir_core.training.schedule import Schedule, phase_schedule
from lucir_core.training.trainer import LossFunction, LossTerm

NOISE_DECAY = 0.55


@METHODS.register("eeil")
class EndToEnd(OnLinearHead):
    """Distillation by phase, then a balanced fine-tune."""

    def start(
        self, config: PhaseConfig, previous: IncrementalModel | None, old_count: int, new_count: int, seed: int
    ) -> IncrementalModel:
        """The previous model with a linear row for every new class."""
        require_replay(config.replay, "eeil's balanced fine-tune")
        return super().start(config, previous, old_count, new_count, seed)

    def learn(self, run: PhaseRun) -> None:
        """Train, balance."""
        choice = run.config.settings_of(Eeil)
        indices = run.training_indices(replay=True).repeat(choice.views)
        schedule = phase_schedule(run.config, len(indices), first=run.teacher is None)
        balances = run.teacher is not None and run.new_count > 0
        share = schedule.epochs / (schedule.epochs + choice.finetune_epochs / 2) if balances else 1.0
        noise = partial(noise_at, choice.gradient_noise, 0) if choice.gradient_noise else None
        parameters = tuple(run.model.parameters())
        run.train("main", eeil_loss(run, None), indices, schedule, parameters, share=(0.0, share), gradient_noise=noise)
        if not balances:
            return
        subset = torch.from_numpy(run.balanced_subset()).to(run.images.device).repeat(choice.views)
        gentle = Schedule(
            choice.finetune_epochs, choice.finetune_lr, "multistep", choice.finetune_milestones, run.config.gamma
        )
        noise = partial(noise_at, choice.gradient_noise, schedule.epochs) if choice.gradient_noise else None
        loss = eeil_loss(run, _remembered_copy(run))
        run.train("balanced", loss, subset, gentle, parameters, share=(share, 1.0), gradient_noise=noise)


def noise_at(scale: float, first: int, epoch: int) -> float:
    """Standard deviation of the noise on a batch's summed gradient in epoch 0, 1, ... of a stage.

    first: epochs of the stages before. The published code counts epochs from 1, through both stages.
    """
    return float(scale * (2.0 + first + epoch) ** -NOISE_DECAY)


def eeil_loss(run: PhaseRun, stage_one: IncrementalModel | None) -> LossFunction:
    """Cross-entropy and distillation by earlier phase; with `stage_one` also of the new classes against that model."""
    model, teacher, old_count = run.model, run.teacher, run.old_count
    choice = run.config.settings_of(Distillation)

    def loss(images: Tensor, labels: Tensor) -> Mapping[str, LossTerm]:
        output: Output = model(images)
        terms = {"cross_entropy": LossTerm(cross_entropy_loss(output.logits, labels))}
        if teacher is not None:
            with torch.no_grad():
                target: Output = teacher(images)
            value = grouped_distillation_loss(output.logits, target.logits, run.phase_sizes, choice.temperature)
            terms["distillation"] = LossTerm(value, choice.weight)
        if stage_one is not None:
            with torch.no_grad():
                before: Output = stage_one(images)
            fresh, kept = output.logits[:, old_count:], before.logits[:, old_count:]
            terms["new_distillation"] = LossTerm(distillation_loss(fresh, kept, choice.temperature), choice.weight)
        return terms

    return loss


def _remembered_copy(run: PhaseRun) -> IncrementalModel:
    """The model as stage 1 left it. Its weights go into the resume file: a fine-tune under way moves the model's."""
    kept = {}
    for name, value in run.model.state_dict().items():
        kept[name] = torch.from_numpy(run.checkpoint.remember(f"stage_one.{name}", partial(_array, value)))
    stage_one = frozen_copy(run.model)
    stage_one.load_state_dict(kept)
    return stage_one


def _array(value: Tensor) -> np.ndarray:
    """A copy that shares no memory with the parameter."""
    return np.array(value.detach().cpu().numpy())
