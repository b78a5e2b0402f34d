"""A learning method of one's own, from the idea to a curve: `python -m lucir_core.examples.own_method`.

The idea here: besides the cross-entropy, hold the student's features to the teacher's by their squared distance. A
method starts a phase's model and trains it, and declares its settings; phases, exemplars, resume, export and benchmark
need nothing more.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from lucir_core.config.phase_config import PhaseConfig
from lucir_core.losses.rebalancing import cross_entropy_loss
from lucir_core.methods.base import grown_model, register_method
from lucir_core.models.model import IncrementalModel
from lucir_core.phase import run_phase
from lucir_core.testing import synthetic_phase, tiny_config
from lucir_core.training.phase_run import PhaseRun
from lucir_core.training.schedule import phase_schedule
from lucir_core.training.trainer import LossTerm


@dataclass(frozen=True)
class DistanceSettings:
    """In YAML and overrides: `feature_distance.weight`."""

    weight: float = 0.1


@register_method("feature_distance", head="cosine", settings=DistanceSettings)
class FeatureDistance:
    """Cross-entropy and the squared distance to the teacher's features."""

    needs_every_image = False

    def start(
        self, config: PhaseConfig, previous: IncrementalModel | None, old_count: int, new_count: int, seed: int
    ) -> IncrementalModel:
        """The previous model with a row for every new class."""
        return grown_model(config, previous, new_count, seed)

    def learn(self, run: PhaseRun) -> None:
        """One stage over new images and exemplars, everything trained."""

        weight = run.config.settings_of(DistanceSettings).weight

        def loss(images: Tensor, labels: Tensor) -> Mapping[str, LossTerm]:
            output = run.model(images)
            terms = {"cross_entropy": LossTerm(cross_entropy_loss(output.logits, labels))}
            if run.teacher is not None:
                with torch.no_grad():
                    before = run.teacher(images).features
                terms["distance"] = LossTerm((output.features - before).square().sum(dim=1).mean(), weight)
            return terms

        indices = run.training_indices(replay=True)
        schedule = phase_schedule(run.config, len(indices), first=run.teacher is None)
        run.train("main", loss, indices, schedule, tuple(run.model.parameters()))


if __name__ == "__main__":
    config = tiny_config({"method": "feature_distance", "feature_distance.weight": 0.2})
    first = run_phase(config, synthetic_phase({0: 30, 1: 30}, 2), None)
    second = run_phase(config, synthetic_phase({2: 30}, 3), first, report=lambda epoch: print(epoch.losses))  # noqa: T201  # a program to watch
    print(second.classes, second.exemplars.counts())  # noqa: T201  # as above
