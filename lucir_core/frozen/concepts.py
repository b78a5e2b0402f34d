"""What the classifier that a backbone was trained with makes of an image, and its capped features: both tell images of
no known class.

Its thousand probabilities say more of an image of no known class than its features do, above all where a class is known
by few images: "most like a pizza, a plate, a bakery" is far from everything that scorpions are taken for. Compared are
the square roots of the probabilities, whose product is Bhattacharyya's coefficient (Bulletin of the Calcutta
Mathematical Society 35, 1943): 1 for the same distribution, 0 for two that have nothing in common.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from lucir_core.frozen.analytic import are_many, class_means, class_sums, left_out_cosines
from lucir_core.frozen.moments import ROWS
from lucir_core.memory.feature_memory import FeatureMemory
from lucir_core.models.heads import AnalyticHead, Concepts, capped_units
from lucir_core.state import LearnerState
from lucir_core.weights.pretrained import imagenet_state, is_installed


@dataclass(frozen=True, eq=False)
class LeftOutConcepts:
    """Of the images that were learnt."""

    concepts: Concepts
    """With the means of the classes."""
    nearest: NDArray[np.float32]
    """(n,) cosine to the nearest class, of which the image itself is left out."""
    capped: NDArray[np.float32]
    """(n,) the same of capped features."""


def left_out_concepts(state: LearnerState) -> LeftOutConcepts | None:
    """None where the backbone has no classifier of its own; and where images are very many: they tell enough alone."""
    memory, count = state.features, len(state.classes)
    found = _classifier(state)
    if memory is None or found is None or are_many(len(memory)):
        return None
    weight, bias = found
    blank = Concepts(weight, bias, torch.zeros(count, len(weight)))
    means, nearest = _left_out(memory, blank.described, count)
    capped_means, capped = _left_out(memory, capped_units, count)
    return LeftOutConcepts(Concepts(weight, bias, means, capped_means), nearest, capped)


def _left_out(
    memory: FeatureMemory, view: Callable[[torch.Tensor], torch.Tensor], count: int
) -> tuple[torch.Tensor, NDArray[np.float32]]:
    """Class means (classes, width) of what `view` makes of features, and each image's cosine to the nearest (n,)."""
    starts = range(0, len(memory), ROWS)
    rows = np.concatenate([view(torch.from_numpy(memory.features[start : start + ROWS])).numpy() for start in starts])
    sums = class_sums(rows, memory.labels, count)
    nearest = left_out_cosines(rows.astype(np.float64), memory.labels, sums).max(axis=1)
    return torch.from_numpy(class_means(sums)).float(), nearest


def _classifier(state: LearnerState) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Weight (concepts, dim) and bias (concepts,): of the head before, else of the installed package."""
    head, config = state.model.head, state.config
    if isinstance(head, AnalyticHead) and head.concepts is not None:
        return head.concepts.weight, head.concepts.bias
    if config.weights != "imagenet" or not is_installed(config.network):
        return None
    known = imagenet_state(config.network)
    return known["_fc.weight"].float(), known["_fc.bias"].float()
