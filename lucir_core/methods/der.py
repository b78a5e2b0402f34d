"""DER: dynamically expandable representation (Yan, Xie and He, CVPR 2021). Not "dark experience replay".

Every phase with new classes adds a backbone that starts as a copy of the newest one; all earlier ones are frozen in
eval mode. A fresh linear head without bias sees the concatenated features: CE over all classes, plus an auxiliary head
on the new features alone that tells the new classes apart from "an old class" (nn + 1 outputs, output 0 for all old).
After a warm-up both heads are re-initialised; milestones count from its end. Then the classifier stage: a fresh head,
everything else frozen in eval mode, on equally many images of every class (as many as the memory held of one before it
is cut), logits divided by 5. No distillation. Source: the authors' released code.

What we do differently, and why:
- No channel masks and no pruning unless `der.masks` says so, as in the released code: memory and time grow by one
  backbone a phase. A service sets `der.max_backbones`; the phase that needs one more is refused with ConfigError, and
  the last state stays good.
- Masks (experimental) are learnt with the newest backbone, with a term for the share of computations that they leave.
  Before the classifier stage they close for good: closed channels are 0 from then on and are left out of an exported
  model. A later phase, whose backbone starts as a copy, re-initialises them.
- The images of the classifier stage are the exemplars, and of new classes herded ones; the code draws at random, as
  many of each as the smallest class has. A class with fewer than the others gives all that it has.
- The warm-up is a stage with an optimiser of its own: no momentum of the discarded heads lives on. Phase 0 has none;
  the code warms up there too when it learns from scratch in equal steps.
- A phase without new classes adds no backbone: the newest one is trained further with the head it has, without the
  auxiliary head and the warm-up; the classifier stage follows as always.
"""

import copy
import logging
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from lucir_core.config.method_settings import Der
from lucir_core.config.phase_config import PhaseConfig
from lucir_core.config.validation import require_replay
from lucir_core.errors import ConfigError
from lucir_core.losses.rebalancing import cross_entropy_loss
from lucir_core.methods.base import METHODS, grown_linear_model, linear_head
from lucir_core.models.branched import BranchedBackbone
from lucir_core.models.gates import close_gates, gates_of, open_gates, revive, sparsity_loss
from lucir_core.models.heads import LinearHead
from lucir_core.models.model import IncrementalModel, Output
from lucir_core.runtime.randomness import generator
from lucir_core.training.epoch_batches import batch_sizes
from lucir_core.training.phase_run import PhaseRun
from lucir_core.training.schedule import Schedule, phase_schedule
from lucir_core.training.trainer import LossFunction, LossTerm

logger = logging.getLogger(__name__)


@METHODS.register("der")
class ExpandableRepresentation:
    """One backbone per phase."""

    needs_every_image = False

    def start(
        self, config: PhaseConfig, previous: IncrementalModel | None, old_count: int, new_count: int, seed: int
    ) -> IncrementalModel:
        """All backbones so far, a copy of the newest, and a fresh head over the features of all."""
        require_replay(config.replay, "der's classifier stage")
        if previous is None:
            model = grown_linear_model(config, None, new_count, seed)
            model.backbone = BranchedBackbone([model.backbone])
        else:
            model = copy.deepcopy(previous)
            if new_count:
                model.backbone = _expanded(branched(model), config.settings_of(Der).max_backbones)
                revive(branched(model).newest, generator("cpu", seed, "revived channels"))
        if new_count:
            model.head = LinearHead(model.feature_dim, old_count, new_count)
            draw_rows(model.head, generator("cpu", seed, "head"))
        return model

    def learn(self, run: PhaseRun) -> None:
        """Warm up, train, balance the classifier."""
        config, choice, backbone = run.config, run.config.settings_of(Der), branched(run.model)
        indices = run.training_indices(replay=True)
        schedule = phase_schedule(config, len(indices), first=run.teacher is None)
        expands = run.teacher is not None and run.new_count > 0
        if choice.masks and run.new_count:
            count = len(batch_sizes(len(indices), config.batch_size))
            open_gates(backbone.newest, choice.mask_sharpness, count)
        if expands:
            run.model.auxiliary = auxiliary_head(run, backbone.newest)
        end = 1.0 if run.teacher is None else schedule.epochs / (schedule.epochs + choice.classifier_epochs / 5)
        warmup = min(choice.warmup_epochs, schedule.epochs - 1) if expands else 0
        start = end * warmup / schedule.epochs
        if warmup:
            _train_newest(run, "warmup", indices, Schedule(warmup, config.lr, "warmup"), (0.0, start))
            _redraw_heads(run, "main")
        # Milestones count from the warm-up's end.
        _train_newest(run, "main", indices, replace(schedule, epochs=schedule.epochs - warmup), (start, end))
        run.model.auxiliary = None
        if choice.masks and run.new_count:
            kept = close_gates(backbone.newest)
            logger.info("masks closed", extra={"channels_kept": kept})
        if run.teacher is not None:
            _classifier_stage(run, end)


def branched(model: IncrementalModel) -> BranchedBackbone:
    """The model's backbone, checked."""
    if not isinstance(model.backbone, BranchedBackbone):
        raise ConfigError("der needs a backbone with branches: start again with method = der")
    return model.backbone


@torch.no_grad()
def draw_rows(head: LinearHead, random: torch.Generator, *, uniform: bool = False) -> None:
    """Re-initialise all rows, Kaiming-normal with linear gain; the bias is 0 and is never trained.

    uniform: in +-1/sqrt(dim) instead, as `nn.Linear` starts, which is what the classifier stage begins with.
    """
    for rows in (head.old, head.new):
        bound = rows.shape[1] ** -0.5
        drawn = torch.empty(rows.shape)
        rows.copy_(
            drawn.uniform_(-bound, bound, generator=random) if uniform else drawn.normal_(0.0, bound, generator=random)
        )


def auxiliary_head(run: PhaseRun, newest: nn.Module) -> nn.Linear:
    """A fresh head on the newest backbone's features: output 0 for old classes, then one for every new class."""
    head = nn.Linear(int(newest.feature_dim), run.new_count + 1, bias=False, device=run.model.device)  # type: ignore[arg-type]  # nn.Module's attributes are untyped
    _draw_auxiliary(head, run.seed, "start")
    return head


def auxiliary_targets(labels: Tensor, old_count: int) -> Tensor:
    """0 for every old class, 1, 2, ... for the new ones."""
    return (labels - old_count + 1).clamp_min(0)


def der_loss(run: PhaseRun, temperature: float = 1.0) -> LossFunction:
    """Cross-entropy of the head and, where there is one, of the auxiliary head."""
    model, weight, old_count = run.model, run.config.settings_of(Der).auxiliary_weight, run.old_count
    newest = branched(model).newest

    def loss(images: Tensor, labels: Tensor) -> Mapping[str, LossTerm]:
        gates = gates_of(newest)
        for gate in gates:
            gate.advance()
        output: Output = model(images)
        terms = {"cross_entropy": LossTerm(cross_entropy_loss(output.logits / temperature, labels))}
        if isinstance(model.auxiliary, nn.Linear):
            logits = model.auxiliary(output.features[:, -model.auxiliary.in_features :])
            value = cross_entropy_loss(logits, auxiliary_targets(labels, old_count))
            terms["auxiliary"] = LossTerm(value, weight)
        if gates:
            terms["sparsity"] = LossTerm(sparsity_loss(newest), run.config.settings_of(Der).sparsity_weight)
        return terms

    return loss


def _expanded(backbone: BranchedBackbone, most: int | None) -> BranchedBackbone:
    if most is not None and len(backbone.branches) >= most:
        raise ConfigError(
            f"der has {len(backbone.branches)} backbones and der.max_backbones is {most}: raise it, or start with "
            f"one model over all classes (method joint) or with a method that does not grow"
        )
    return BranchedBackbone([*backbone.branches, copy.deepcopy(backbone.newest)])


def _train_newest(run: PhaseRun, stage: str, indices: Tensor, schedule: Schedule, share: tuple[float, float]) -> None:
    """Train the newest backbone and the heads; all earlier backbones keep weights and statistics."""
    backbone, head = branched(run.model), linear_head(run.model)
    extra = () if run.model.auxiliary is None else tuple(run.model.auxiliary.parameters())
    parameters = (*backbone.newest.parameters(), head.old, head.new, *extra)
    run.train(stage, der_loss(run), indices, schedule, parameters, eval_mode=backbone.earlier, share=share)


def _classifier_stage(run: PhaseRun, start: float) -> None:
    choice, head = run.config.settings_of(Der), linear_head(run.model)
    subset = torch.from_numpy(run.balanced_subset()).to(run.images.device)
    draw_rows(head, generator("cpu", run.seed, "head", "classifier"), uniform=True)
    schedule = Schedule(
        choice.classifier_epochs, choice.classifier_lr, "multistep", choice.classifier_milestones, run.config.gamma
    )
    run.train(
        "classifier",
        der_loss(run, choice.temperature),
        subset,
        schedule,
        (head.old, head.new),
        eval_mode=(run.model.backbone,),
        share=(start, 1.0),
    )


def _redraw_heads(run: PhaseRun, purpose: str) -> None:
    draw_rows(linear_head(run.model), generator("cpu", run.seed, "head", purpose))
    if isinstance(run.model.auxiliary, nn.Linear):
        _draw_auxiliary(run.model.auxiliary, run.seed, purpose)


@torch.no_grad()
def _draw_auxiliary(head: nn.Linear, seed: int, purpose: str) -> None:
    random = generator("cpu", seed, "auxiliary", purpose)
    head.weight.copy_(torch.empty(head.weight.shape).normal_(0.0, head.in_features**-0.5, generator=random))
