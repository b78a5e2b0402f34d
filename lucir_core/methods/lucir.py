"""LUCIR: learning a unified classifier incrementally via rebalancing (Hou et al., CVPR 2019).

A phase minimises CE(eta * cos, y) + lambda * (1 - cos(f, f_teacher)) + ranking_weight * margin ranking over the new
images and the exemplars of earlier phases together, shuffled, none oversampled. New embeddings are imprinted, old ones
frozen; backbone, its normalisation, new embeddings and eta are trained. Phase 0 is cross-entropy with the same cosine
head. Then exemplars are herded and, if chosen, the classifier is fine-tuned on them ("CBF").

What we do differently from the published code, and why:
- lambda = base * sqrt(old / new) as the code has it, not as printed; an optional cap for services.
- Old embeddings take no gradient at all, instead of a learning rate of 0.
- Fewer new classes than K: all of them are rivals (the code fails).
- The state is saved after the fine-tune, so that a later phase starts from the same weights whether resumed or not.
- The fine-tune is left out in phase 0, where there is no imbalance between old and new to repair. While it leaves the
  backbone fixed, the less-forget term is a constant and is not computed.
- A phase without new classes (more images of known ones) counts the classes that got images as the new ones in lambda,
  has no ranking term, and keeps the embeddings frozen until the fine-tune.

The ablations are settings: `less_forget`, `score_mimic`, `freeze_old`, `lambda_rule`, `ranking_weight`,
`ranking_against`, `imprint`, `cbf`. What is beyond the paper stands in the branch `lucir` (`BeyondPaper`), all off.
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from lucir_core.config.method_settings import BeyondPaper
from lucir_core.config.phase_config import PhaseConfig
from lucir_core.config.validation import require_replay
from lucir_core.errors import ConfigError
from lucir_core.losses.beyond import decorrelation_loss, separated_softmax_loss
from lucir_core.losses.rebalancing import (
    cross_entropy_loss,
    less_forget_loss,
    less_forget_weight,
    margin_ranking_loss,
    score_mimic_loss,
)
from lucir_core.memory.exemplars import exemplars_per_class
from lucir_core.methods.base import METHODS, grown_model
from lucir_core.methods.channel_importance import ImportanceTerm, importance_term
from lucir_core.methods.lucir_boost import boost_and_compress
from lucir_core.models.heads import CosineHead
from lucir_core.models.model import IncrementalModel, Output
from lucir_core.training.phase_run import PhaseRun
from lucir_core.training.schedule import Schedule, phase_schedule
from lucir_core.training.trainer import LossFunction, LossTerm


@METHODS.register("lucir")
class Lucir:
    """LUCIR with every ablation switch of the paper."""

    needs_every_image = False

    def start(
        self, config: PhaseConfig, previous: IncrementalModel | None, old_count: int, new_count: int, seed: int
    ) -> IncrementalModel:
        """The previous model with a cosine row for every new class."""
        if config.head != "cosine":
            raise ConfigError(f"lucir needs the cosine head, not head = {config.head!r}")
        if config.cbf.enabled:
            require_replay(config.replay, "the balanced fine-tune (cbf.enabled)")
        return grown_model(config, previous, new_count, seed)

    def learn(self, run: PhaseRun) -> None:
        """Imprint, train, herd, fine-tune."""
        config, head = run.config, cosine_head(run.model)
        indices = run.training_indices(replay=config.replay is not False)
        schedule = phase_schedule(config, len(indices), first=run.teacher is None)
        if run.teacher is None:
            run.train("main", first_phase_loss(run), indices, schedule, tuple(run.model.parameters()))
            return
        boosted = config.settings_of(BeyondPaper).boost.enabled
        if config.less_forget and not boosted:  # otherwise nothing has this weight
            run.lambda_ = less_forget_weight(
                config.lambda_rule, config.lambda_base, run.old_count, run.learnt_count, config.lambda_max
            )
        if config.imprint and run.new_count:
            head.imprint(run.new_class_means())
        frozen = {id(head.old)} if config.freeze_old else set()
        parameters = tuple(parameter for parameter in run.model.parameters() if id(parameter) not in frozen)
        end = _main_share(run, len(indices), schedule) if config.cbf.enabled else 1.0
        term = importance_term(run)
        if boosted:
            boost_and_compress(run, indices, head, term, end)
        else:
            run.train("main", incremental_loss(run, term), indices, schedule, parameters, share=(0.0, end))
        if config.cbf.enabled:
            _balanced_finetune(run, head, end)


def cosine_head(model: IncrementalModel) -> CosineHead:
    """The model's head, checked."""
    if not isinstance(model.head, CosineHead):
        raise ConfigError("lucir needs the cosine head: the model has a linear one")
    return model.head


def incremental_loss(
    run: PhaseRun, term: ImportanceTerm | None = None, *, less_forget: bool = True, ranking: bool = True
) -> LossFunction:
    """The objective of a phase after the first, by the settings, with `term` added; the flags leave a term out."""
    config, model, teacher, old_count = run.config, run.model, run.teacher, run.old_count
    assert teacher is not None  # noqa: S101  # phase 0 has its own loss
    distils = config.score_mimic or (less_forget and config.less_forget)
    separated = config.settings_of(BeyondPaper).separated_softmax

    def loss(images: Tensor, labels: Tensor) -> Mapping[str, LossTerm]:
        extra, target = {}, None
        if term is None:
            output: Output = model(images)
        else:
            output, target, extra["importance"] = term(images)
        own = separated_softmax_loss(output.logits, labels, old_count) if separated else None
        terms = {"cross_entropy": LossTerm(cross_entropy_loss(output.logits, labels) if own is None else own), **extra}
        if distils:
            if target is None:
                with torch.no_grad():
                    target = teacher(images)
            if less_forget and config.less_forget:
                value = less_forget_loss(output.features, target.features)
                terms["less_forget"] = LossTerm(value, run.lambda_ or 0.0)
            if config.score_mimic:
                terms["score_mimic"] = LossTerm(score_mimic_loss(output.cosines, target.cosines))
        if ranking and config.ranking_weight:
            value = margin_ranking_loss(
                output.cosines,
                labels,
                old_count,
                top_k=config.top_k,
                margin=config.margin,
                against=config.ranking_against,
            )
            terms["margin_ranking"] = LossTerm(value, config.ranking_weight)
        return terms

    return loss


def first_phase_loss(run: PhaseRun) -> LossFunction:
    """Cross-entropy, and where chosen the decorrelation of each class's features."""
    model, weight, count = run.model, run.config.settings_of(BeyondPaper).decorrelation, run.new_count

    def loss(images: Tensor, labels: Tensor) -> Mapping[str, LossTerm]:
        output: Output = model(images)
        terms = {"cross_entropy": LossTerm(cross_entropy_loss(output.logits, labels))}
        if weight:
            terms["decorrelation"] = LossTerm(decorrelation_loss(output.features, labels, count), weight)
        return terms

    return loss


def _balanced_finetune(run: PhaseRun, head: CosineHead, start: float) -> None:
    """Fine-tune on the exemplars of all classes, the new ones already cut to their budget; eta stays as it is."""
    cbf = run.config.cbf
    parameters: tuple[nn.Parameter, ...] = {
        "embeddings": (head.old, head.new),
        "new_embeddings": (head.new,),
        "everything": tuple(parameter for parameter in run.model.parameters() if parameter is not head.eta),
    }[cbf.train]
    if not any(parameter.numel() for parameter in parameters):
        return
    moves_backbone = cbf.train == "everything"
    run.train(
        "balanced",
        incremental_loss(run, less_forget=moves_backbone, ranking=cbf.ranking),
        torch.from_numpy(run.exemplars()).to(run.images.device),
        Schedule(cbf.epochs, cbf.lr, "multistep", cbf.milestones, run.config.gamma),
        parameters,
        eval_mode=() if moves_backbone else (run.model.backbone,),
        share=(start, 1.0),
    )


def _main_share(run: PhaseRun, image_count: int, schedule: Schedule) -> float:
    """The main stage's part of the phase's images; the fine-tune's forward-only ones count a third."""
    main = schedule.epochs * image_count
    classes = run.old_count + run.new_count
    balanced = run.config.cbf.epochs * classes * exemplars_per_class(run.config, classes)
    return main / (main + math.ceil(balanced / 3))
