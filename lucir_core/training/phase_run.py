"""What a method works with during one phase: model, teacher, images, and the shared steps it wires together."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from lucir_core.config.phase_config import PhaseConfig
from lucir_core.data.phase_data import ImageSet
from lucir_core.memory.exemplars import choose_exemplars, exemplars_per_class
from lucir_core.models.features import extract_features
from lucir_core.models.model import IncrementalModel
from lucir_core.runtime.acceleration import AUTO, Acceleration
from lucir_core.training.checkpoint import Checkpoint
from lucir_core.training.schedule import Schedule
from lucir_core.training.trainer import EpochReport, LossFunction, Stage, train_stage

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Progress:
    """How far a phase is, after an epoch."""

    stage: str
    epoch: int
    epochs: int
    losses: dict[str, float]
    """Means over the epoch, unweighted: cross_entropy, less_forget, margin_ranking, total, as the method has them."""
    eta: float | None
    """The softmax scale of a cosine head."""
    lambda_: float | None
    """Weight of the less-forget term."""
    ratio: float
    """Share of the phase's training that is done, 0 to 1."""
    flops: float | None = None
    """Of one epoch of the stage, where they are counted."""


@dataclass(eq=False)
class PhaseRun:
    """One phase under way. `model` has rows for all classes; `teacher` is frozen, and None in phase 0."""

    config: PhaseConfig
    model: IncrementalModel
    teacher: IncrementalModel | None
    images: ImageSet
    """The phase's images first, then the exemplars of the phases before."""
    labels: np.ndarray
    kept: np.ndarray
    """(n,) bool: True for exemplars of phases before."""
    old_count: int
    new_count: int
    seed: int
    checkpoint: Checkpoint
    report: Callable[[Progress], None]
    lambda_: float | None = None
    """Set by the method, for the reports."""
    phase_sizes: tuple[int, ...] = ()
    """Classes that each earlier phase added."""
    history: list[EpochReport] = field(default_factory=list)
    acceleration: Acceleration = AUTO
    counts_flops: bool = False
    size: int | None = None
    """Side of what the network sees; default: that of the settings. Of maps it is another one."""

    @property
    def learnt_count(self) -> int:
        """Classes that this phase is about: the new ones, or without new ones the known ones that got images."""
        return self.new_count or len(np.unique(self.labels[~self.kept]))

    def training_indices(self, *, replay: bool) -> Tensor:
        """The phase's images, with `replay` the exemplars of earlier phases too."""
        chosen = np.arange(len(self.labels)) if replay else np.flatnonzero(~self.kept)
        return torch.from_numpy(chosen).to(self.images.device)

    def new_class_means(self) -> Tensor:
        """(new classes, dim): mean of the normalised features of each new class's images under the present model."""
        means = torch.zeros(self.new_count, self.model.feature_dim)
        for i in range(self.new_count):
            mine = torch.from_numpy(np.flatnonzero(self.labels == self.old_count + i))
            features = extract_features(self.model, self.images, mine, self.config.size)
            means[i] = functional.normalize(features, dim=1).mean(dim=0)
        return means.to(self.model.device)

    def exemplars(self) -> np.ndarray:
        """Positions of the exemplars of all classes, chosen once with the model as it is at the first call."""

        return self.checkpoint.remember("exemplars", self._choose)

    def balanced_subset(self) -> np.ndarray:
        """Positions of equally many images per class: the old exemplars before their number is cut, and of every
        new class as many, herded with the model as it is at the first call. All of a class that has fewer."""
        budget = exemplars_per_class(self.config, self.old_count)
        return self.checkpoint.remember("balanced_subset", lambda: self._choose(budget))

    def _choose(self, budget: int | None = None) -> np.ndarray:
        def features_of(positions: np.ndarray) -> np.ndarray:
            return extract_features(self.model, self.images, torch.from_numpy(positions), self.config.size).numpy()

        classes = self.old_count + self.new_count
        return choose_exemplars(self.config, self.labels, self.kept, classes, features_of, budget)

    def train(
        self,
        name: str,
        loss: LossFunction,
        indices: Tensor,
        schedule: Schedule,
        parameters: tuple[nn.Parameter, ...],
        *,
        eval_mode: tuple[nn.Module, ...] = (),
        share: tuple[float, float] = (0.0, 1.0),
        gradient_noise: Callable[[int], float] | None = None,
        weight_decay: float | None = None,
    ) -> None:
        """Train one stage, or what a resume file leaves of it.

        share: the stage's part of the phase's progress; weight_decay: instead of that of the settings.
        """
        complete, position = self.checkpoint.enter(name, self.model)
        if complete:
            return
        config = self.config
        stage = Stage(
            name=name,
            model=self.model,
            parameters=parameters,
            loss=loss,
            indices=indices,
            schedule=schedule,
            batch_size=config.batch_size,
            momentum=config.momentum,
            weight_decay=config.weight_decay if weight_decay is None else weight_decay,
            eval_mode=eval_mode,
            counted=self.counts_flops,
            gradient_noise=gradient_noise,
        )

        def on_epoch(epoch: EpochReport, optimiser: torch.optim.SGD) -> None:
            self.checkpoint.after_epoch(name, epoch.epoch, epoch.epochs, self.model, optimiser)
            self._tell(epoch, share)

        size = self.size or config.size
        train_stage(stage, self.images, size, config.augment, self.seed, on_epoch, position, self.acceleration)
        self.checkpoint.leave(name)

    def _tell(self, epoch: EpochReport, share: tuple[float, float]) -> None:
        self.history.append(epoch)
        eta = getattr(self.model.head, "eta", None)
        ratio = share[0] + (share[1] - share[0]) * epoch.epoch / epoch.epochs
        progress = Progress(
            stage=epoch.stage,
            epoch=epoch.epoch,
            epochs=epoch.epochs,
            losses=dict(epoch.losses),
            eta=None if eta is None else float(eta.detach()),
            lambda_=self.lambda_,
            ratio=ratio,
            flops=epoch.flops,
        )
        fields = {"stage": epoch.stage, "epoch": epoch.epoch, "losses": dict(epoch.losses), "eta": progress.eta}
        logger.debug("epoch finished", extra=fields)
        self.report(progress)
