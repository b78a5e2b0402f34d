"""Learning without forgetting (Li and Hoiem, ECCV 2016) for one growing head: distilled logits, no exemplars.

The same loss as `icarl` on the new images alone; with `replay: true` it is `icarl`'s training. The exemplars that a
state keeps serve the nearest-mean readout and later images of known classes; no gradient comes from them, and the
readout that is LwF's own is the head's. Source: LUCIR's paper, which says that iCaRL-CNN without memory is LwF.

Variant `lwf_task`: `distillation: {cross_entropy: new, weight: 3}`, cross-entropy over the new classes only.
"""

from lucir_core.methods.base import METHODS, OnLinearHead
from lucir_core.methods.icarl import learn_distilled
from lucir_core.training.phase_run import PhaseRun


@METHODS.register("lwf")
class Lwf(OnLinearHead):
    """Cross-entropy and distilled logits, without exemplars."""

    def learn(self, run: PhaseRun) -> None:
        """One stage over everything trainable."""
        learn_distilled(run, replay=run.config.replay is True)
