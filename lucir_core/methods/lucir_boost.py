"""A second backbone for one phase of LUCIR, and compression back to one (FOSTER: Wang et al., ECCV 2022).

The backbone of the phase before stays as it is; a second one, which starts as its copy, learns beside it what it lacks.
A cosine classifier sees the features of both. Then one backbone, again a copy of the old one, learns from the pair by
distillation in which classes with few images weigh more. What is kept and served is one network of the same size.

What we do differently from the published code, and why:
- The classifier over both feature vectors, and the auxiliary one over the second's alone, are cosine classifiers with
  a learnt scale, as LUCIR's is, instead of linear ones. Their rows start as the imprinted ones, so that the pair begins
  as exactly the classifier that LUCIR's phase begins with.
- Class weights come from the numbers of images at hand instead of the constants 20 and 500.
"""

import copy
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from lucir_core.config.method_settings import BeyondPaper
from lucir_core.losses.beyond import balanced_distillation_loss, balanced_weights, separated_softmax_loss
from lucir_core.losses.distillation import distillation_loss
from lucir_core.losses.rebalancing import cross_entropy_loss
from lucir_core.methods.channel_importance import ImportanceTerm
from lucir_core.models.heads import CosineHead
from lucir_core.models.model import IncrementalModel, Output
from lucir_core.training.phase_run import PhaseRun
from lucir_core.training.schedule import phase_schedule
from lucir_core.training.trainer import LossFunction, LossTerm


class Pair(nn.Module):
    """The second backbone with its own classifier, and the classifier over the features of both backbones."""

    def __init__(self, second: IncrementalModel, head: CosineHead) -> None:
        super().__init__()
        self.second = second
        dim = head.old.shape[1]
        self.head = CosineHead(2 * dim, len(head.old), len(head.new))
        with torch.no_grad():
            for mine, rows in ((self.head.old, head.old), (self.head.new, head.new)):
                unit = functional.normalize(rows, dim=1)
                mine.copy_(torch.cat([unit, unit], dim=1))
            self.head.eta.copy_(head.eta)
        self.head.to(head.old.device)

    def forward(self, old_features: Tensor, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (batch, classes) of the pair, and of the second backbone alone.

        old_features: (batch, dim) of the first backbone, not normalised; images: (batch, 3, size, size), 0 to 255.
        """
        output: Output = self.second(images)
        both = [functional.normalize(part.float(), dim=1) for part in (old_features, output.features)]
        return self.head(torch.cat(both, dim=1)).logits, output.logits


def boost_and_compress(
    run: PhaseRun, indices: Tensor, head: CosineHead, term: ImportanceTerm | None, end: float
) -> None:
    """Both stages, in place of the phase's main training; `end`: their part of the phase's progress."""
    choice = run.config.settings_of(BeyondPaper).boost
    pair = Pair(copy.deepcopy(run.model), head)
    run.model.auxiliary = pair
    middle = end * choice.epochs / (choice.epochs + choice.compression_epochs)
    first, second = (
        phase_schedule(replace(run.config, epochs=epochs, schedule="cosine", milestones=()), len(indices), first=False)
        for epochs in (choice.epochs, choice.compression_epochs)
    )
    run.train("boost", boost_loss(run, pair), indices, first, tuple(pair.parameters()), share=(0.0, middle))
    parameters = tuple(
        parameter for name, parameter in run.model.named_parameters() if not name.startswith("auxiliary.")
    )
    # It is a teacher from here on, and computes as one.
    pair.second.frozen = True
    run.train(
        "compress",
        compression_loss(run, pair, term),
        indices,
        second,
        parameters,
        eval_mode=(pair,),
        share=(middle, end),
        weight_decay=0.0,
    )
    run.model.auxiliary = None


def boost_loss(run: PhaseRun, pair: Pair) -> LossFunction:
    """Cross-entropy with scores divided by the class weights, that of the second backbone alone, and distillation."""
    chosen, teacher, old_count = run.config.settings_of(BeyondPaper), run.teacher, run.old_count
    assert teacher is not None  # noqa: S101  # there is no boost in phase 0
    weights = _weights(run, chosen.boost.beta)

    def loss(images: Tensor, labels: Tensor) -> Mapping[str, LossTerm]:
        with torch.no_grad():
            target: Output = teacher(images)
        logits, alone = pair(target.features, images)
        if chosen.separated_softmax:
            own = separated_softmax_loss(logits, labels, old_count)
        else:
            own = cross_entropy_loss(logits / weights, labels)
        return {
            "cross_entropy": LossTerm(own),
            "enhancement": LossTerm(cross_entropy_loss(alone, labels)),
            "distillation": LossTerm(distillation_loss(logits, target.logits, chosen.boost.temperature)),
        }

    return loss


def compression_loss(run: PhaseRun, pair: Pair, term: ImportanceTerm | None) -> LossFunction:
    """Balanced distillation from the pair, and where chosen the importance-weighted one from the backbone before."""
    choice, model, teacher = run.config.settings_of(BeyondPaper).boost, run.model, run.teacher
    assert teacher is not None  # noqa: S101  # there is no boost in phase 0
    weights = _weights(run, choice.compression_beta)

    def loss(images: Tensor, labels: Tensor) -> Mapping[str, LossTerm]:
        terms = {}
        if term is None:
            with torch.no_grad():
                target: Output = teacher(images)
            output: Output = model(images)
        else:
            output, target, terms["importance"] = term(images)
        with torch.no_grad():
            logits, _ = pair(target.features, images)
        value = balanced_distillation_loss(output.logits, logits, weights, choice.temperature)
        return {"distillation": LossTerm(value), **terms}

    return loss


def _weights(run: PhaseRun, beta: float) -> Tensor:
    counts = torch.bincount(torch.from_numpy(run.labels), minlength=run.old_count + run.new_count)
    return balanced_weights(counts, beta).to(run.model.device)
