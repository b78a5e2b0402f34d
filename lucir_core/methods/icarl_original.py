"""iCaRL (Rebuffi et al., CVPR 2017) with its own loss: one sigmoid per class, the old ones held to the teacher's.

Binary cross-entropy over all classes so far. For every sample, exemplars included, the targets of old classes are the
teacher's sigmoids (the truth is overwritten), those of new classes are one-hot. Meant for the nearest-mean readout.
Source: the authors' code, whose head has 100 outputs from the start and whose loss is a mean over batch and outputs.

What we do differently, and why:
- The head grows. The loss is summed over the classes so far and divided by 100 (`icarl_original.outputs`), so that the
  published learning rate of 2.0 keeps its meaning; only the pull of unseen outputs towards 0 is gone.
- A short last batch is trained on, as everywhere in this library.
- Normalisation by channel statistics instead of subtracting the mean image.
- `probabilities` of an exported model are the softmax of the logits, so that they add up to 1 like any other method's;
  the best class is that of the sigmoids.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from lucir_core.config.method_settings import IcarlOriginal
from lucir_core.losses.distillation import sigmoid_loss
from lucir_core.methods.base import METHODS, OnLinearHead
from lucir_core.models.model import Output
from lucir_core.training.phase_run import PhaseRun
from lucir_core.training.schedule import phase_schedule
from lucir_core.training.trainer import LossTerm


@METHODS.register("icarl_original")
class IcarlOriginalLoss(OnLinearHead):
    """Sigmoids, with exemplars."""

    def learn(self, run: PhaseRun) -> None:
        """One stage over everything trainable."""
        model, teacher, outputs = run.model, run.teacher, run.config.settings_of(IcarlOriginal).outputs

        def loss(images: Tensor, labels: Tensor) -> Mapping[str, LossTerm]:
            output: Output = model(images)
            with torch.no_grad():
                old_logits = None if teacher is None else teacher(images).logits
            return {"sigmoid": LossTerm(sigmoid_loss(output.logits, labels, old_logits, outputs))}

        indices = run.training_indices(replay=run.config.replay is not False)
        schedule = phase_schedule(run.config, len(indices), first=teacher is None)
        run.train("main", loss, indices, schedule, tuple(model.parameters()))
