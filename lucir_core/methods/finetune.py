"""Plain fine-tuning: cross-entropy over all classes on the phase's images, nothing against forgetting.

The lower reference. With `replay: true` the exemplars of earlier phases are trained on too ("Replay"). All rows are
trained. With a linear head the network keeps its last ReLU; new rows start as drawn, not imprinted.
"""

from collections.abc import Mapping

from torch import Tensor

from lucir_core.config.phase_config import PhaseConfig
from lucir_core.losses.rebalancing import cross_entropy_loss
from lucir_core.methods.base import METHODS, grown_model
from lucir_core.models.model import IncrementalModel, Output
from lucir_core.training.phase_run import PhaseRun
from lucir_core.training.schedule import phase_schedule
from lucir_core.training.trainer import LossTerm


@METHODS.register("finetune")
class Finetune:
    """Cross-entropy on what the phase brings."""

    needs_every_image = False

    def start(
        self, config: PhaseConfig, previous: IncrementalModel | None, old_count: int, new_count: int, seed: int
    ) -> IncrementalModel:
        """The previous model with a row for every new class."""
        return grown_model(config, previous, new_count, seed)

    def learn(self, run: PhaseRun) -> None:
        """One stage over everything trainable."""
        indices = run.training_indices(replay=run.config.replay is True)
        train_all(run, indices, first=run.teacher is None)


def train_all(run: PhaseRun, indices: Tensor, *, first: bool) -> None:
    """Cross-entropy over all classes, every parameter trained."""
    model = run.model

    def loss(images: Tensor, labels: Tensor) -> Mapping[str, LossTerm]:
        output: Output = model(images)
        return {"cross_entropy": LossTerm(cross_entropy_loss(output.logits, labels))}

    schedule = phase_schedule(run.config, len(indices), first=first)
    run.train("main", loss, indices, schedule, tuple(model.parameters()))
