"""BiC: large scale incremental learning (Wu et al., CVPR 2019): two scalars take back the bias towards new classes.

Stage 1 minimises L * KL(teacher || student) over the old classes at temperature 2 + (1 - L) * CE over all classes, with
L = old / (old + new), on all samples but those held out: a tenth of every old class's exemplars and as many images of
every new class. The teacher's logits are corrected for its own newest classes. Stage 2 fits scale and offset of the
newest classes' logits on the held-out images; at test time only the newest classes are corrected.
Source: the authors' TensorFlow code and the paper.

What we do differently, and why:
- In stage 2 nothing but the two scalars moves: the whole network is in eval mode (the code leaves batch statistics to
  drift), and the logits, computed once without augmentation, stay fixed.
- Two scalars on fixed logits are a smooth convex problem: LBFGS finds its minimum in a fraction of a second, where the
  code spends twice stage 1's epochs. The objective is theirs: CE + 0.1 * offset^2 / 2, every class weighing the same.
- The temperature is not squared; the divergence has the gradients of the code's soft cross-entropy.
- The code multiplies the weight decay by phases / (phase + 1) on ImageNet; set `weight_decay` by phase for that.
- Old classes' held-out images are exemplars, which earlier phases trained on; the code sets them apart from the start
  and never trains on them, at the price of a tenth of the memory.
- A scale of 0 or less would reverse the order of the new classes (it came out so with one held-out image per class):
  then there is no correction.
- A class with a single exemplar keeps it for training. Without held-out images of old and new classes there is no
  correction. A phase without new classes keeps the previous correction in place.
"""

import copy
import logging
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from lucir_core.config.method_settings import Bic, Distillation
from lucir_core.config.phase_config import PhaseConfig
from lucir_core.config.validation import require_replay
from lucir_core.losses.distillation import distillation_loss
from lucir_core.losses.rebalancing import cross_entropy_loss
from lucir_core.methods.base import METHODS, grown_linear_model, linear_head
from lucir_core.methods.finetune import train_all
from lucir_core.models.features import extract_features
from lucir_core.models.model import IncrementalModel, Output
from lucir_core.runtime.randomness import derived_seed
from lucir_core.training.phase_run import PhaseRun
from lucir_core.training.schedule import phase_schedule
from lucir_core.training.trainer import LossFunction, LossTerm

logger = logging.getLogger(__name__)


@METHODS.register("bic")
class BiasCorrection:
    """Distillation with held-out images, then two scalars."""

    needs_every_image = False

    def start(
        self, config: PhaseConfig, previous: IncrementalModel | None, old_count: int, new_count: int, seed: int
    ) -> IncrementalModel:
        """The previous model with a linear row for every new class, uncorrected; without new classes as it was."""
        require_replay(config.replay, "bic's correction")
        if previous is not None and new_count == 0:
            return copy.deepcopy(previous)
        return grown_linear_model(config, previous, new_count, seed)

    def learn(self, run: PhaseRun) -> None:
        """Train, correct."""
        if run.teacher is None:
            train_all(run, run.training_indices(replay=True), first=True)
            return
        training, held_out = split_validation(run)
        indices = torch.from_numpy(training).to(run.images.device)
        schedule = phase_schedule(run.config, len(indices), first=False)
        run.train("main", bic_loss(run, run.teacher), indices, schedule, tuple(run.model.parameters()))
        _correct(run, held_out)


def split_validation(run: PhaseRun) -> tuple[np.ndarray, np.ndarray]:
    """Positions to train on and positions held out, drawn from the phase's seed; none held out without new classes."""
    share = run.config.settings_of(Bic).validation_share
    random = np.random.default_rng(derived_seed(run.seed, "validation"))
    held: list[np.ndarray] = []
    most = 0
    for label in range(run.old_count if run.new_count else 0):
        mine = np.flatnonzero((run.labels == label) & run.kept)
        count = min(max(1, round(share * len(mine))), max(len(mine) - 1, 0))
        held.append(random.permutation(mine)[:count])
        most = max(most, count)
    for label in range(run.old_count, run.old_count + run.new_count):
        mine = np.flatnonzero(run.labels == label)
        held.append(random.permutation(mine)[: min(most, len(mine) - 1)])
    held_out = np.sort(np.concatenate(held)) if held else np.zeros(0, np.int64)
    return np.setdiff1d(np.arange(len(run.labels)), held_out), held_out


def bic_loss(run: PhaseRun, teacher: IncrementalModel) -> LossFunction:
    """The objective of stage 1. `teacher` corrects its own newest classes."""
    model, temperature = run.model, run.config.settings_of(Distillation).temperature
    classes = run.old_count + run.new_count
    old_share = (classes - run.learnt_count) / classes

    def loss(images: Tensor, labels: Tensor) -> Mapping[str, LossTerm]:
        output: Output = model(images)
        with torch.no_grad():
            target: Output = teacher(images)
        return {
            "cross_entropy": LossTerm(cross_entropy_loss(output.logits, labels), 1.0 - old_share),
            "distillation": LossTerm(distillation_loss(output.logits, target.logits, temperature), old_share),
        }

    return loss


def fit_correction(logits: Tensor, labels: Tensor, old_count: int, penalty: float) -> tuple[float, float]:
    """(scale, offset) for the logits of the new classes that minimise cross-entropy + penalty * offset^2 / 2.

    logits: (n, classes) uncorrected, old classes first; labels: (n,). Every class weighs the same, however many
    images it has.
    """
    logits = logits.double()
    weights = 1.0 / torch.bincount(labels, minlength=logits.shape[1])[labels].double()
    pair = torch.tensor([1.0, 0.0], dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([pair], max_iter=200, tolerance_grad=1e-9, line_search_fn="strong_wolfe")

    def objective() -> Tensor:
        optimiser.zero_grad()
        corrected = torch.cat([logits[:, :old_count], pair[0] * logits[:, old_count:] + pair[1]], dim=1)
        losses = functional.cross_entropy(corrected, labels, reduction="none")
        value = (losses * weights).sum() / weights.sum() + 0.5 * penalty * pair[1].square()
        value.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        return value

    optimiser.step(objective)  # type: ignore[no-untyped-call]  # torch leaves it untyped
    scale, offset = pair.detach().tolist()
    return scale, offset


@torch.no_grad()
def _held_out_logits(run: PhaseRun, held_out: np.ndarray) -> Tensor:
    features = extract_features(run.model, run.images, torch.from_numpy(held_out), run.config.size)
    rows, bias = linear_head(run.model).corrected()
    return features @ rows.cpu().t() + bias.cpu()


def _correct(run: PhaseRun, held_out: np.ndarray) -> None:
    """Stage 2: set the head's correction; nothing else changes."""
    labels = torch.from_numpy(run.labels[held_out])
    if not ((labels < run.old_count).any() and (labels >= run.old_count).any()):
        if run.new_count:
            logger.warning("no bias correction: too few exemplars to hold any out", extra={"held_out": len(labels)})
        return
    logits = _held_out_logits(run, held_out)
    pair = fit_correction(logits, labels, run.old_count, run.config.settings_of(Bic).offset_penalty)
    if pair[0] <= 0:
        fields = {"scale": pair[0], "offset": pair[1], "held_out": len(labels)}
        logger.warning("no bias correction: it would reverse the new classes; keep more exemplars", extra=fields)
        return
    linear_head(run.model).correction.copy_(torch.tensor(pair))
    logger.info("bias corrected", extra={"scale": pair[0], "offset": pair[1], "held_out": len(labels)})
