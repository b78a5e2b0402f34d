"""Joint training: at every phase from scratch on the images of all classes seen so far. The upper reference.

The phase must be given all images, not only those of the new classes; the exemplars of earlier phases are not trained
on (they are among those images).
"""

from lucir_core.config.phase_config import PhaseConfig
from lucir_core.methods.base import METHODS, grown_model
from lucir_core.methods.finetune import train_all
from lucir_core.models.model import IncrementalModel
from lucir_core.training.phase_run import PhaseRun


@METHODS.register("joint")
class Joint:
    """Cross-entropy from scratch on everything."""

    needs_every_image = True

    def start(
        self, config: PhaseConfig, previous: IncrementalModel | None, old_count: int, new_count: int, seed: int
    ) -> IncrementalModel:
        """A new model for all classes."""
        return grown_model(config, None, old_count + new_count, seed)

    def learn(self, run: PhaseRun) -> None:
        """One stage over everything trainable, with the schedule of phase 0."""
        train_all(run, run.training_indices(replay=False), first=True)
