"""Learning without forgetting (Li and Hoiem, ECCV 2016) for one growing head: distilled logits, no exemplars.

The same loss as `icarl` on the new images alone; with `replay: true` it is `icarl`'s training. The exemplars that a
state keeps serve the nearest-mean readout and later images of known classes; no gradient comes from them, and the
readout that is LwF's own is the head's. Source: LUCIR's paper, which says that iCaRL-CNN without memory is LwF.

Variant `lwf_task`: `distillation: {cross_entropy: new, weight: 3}`, cross-entropy over the new classes only.
"""

from lucir_core.config.phase_config import PhaseConfig
from lucir_core.methods.base import METHODS, grown_linear_model
from lucir_core.methods.icarl import learn_distilled
from lucir_core.models.model import IncrementalModel
from lucir_core.training.phase_run import PhaseRun


@METHODS.register("lwf")
class Lwf:
    """Cross-entropy and distilled logits, without exemplars."""

    needs_every_image = False

    def start(
        self, config: PhaseConfig, previous: IncrementalModel | None, old_count: int, new_count: int, seed: int
    ) -> IncrementalModel:
        """The previous model with a linear row for every new class."""
        return grown_linear_model(config, previous, new_count, seed)

    def learn(self, run: PhaseRun) -> None:
        """One stage over everything trainable."""
        learn_distilled(run, replay=run.config.replay is True)
