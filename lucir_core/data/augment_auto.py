"""AutoAugment's policy for CIFAR-10 on whole batches at once, on their device (Cubuk et al., CVPR 2019, Table 7).

Each image draws one of 25 pairs of changes; each change of a pair happens with its own probability, at the strength
that the search found. The changes are those of `augment_strong`, whose strengths reach further: here a rotation is of
at most 30 degrees instead of 135, a shift of at most 45 % of the side. Kinds, probabilities and strengths are those of
the paper, what a strength means is as in torchvision.
"""

from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from lucir_core.data.augment_strong import KINDS, LEVELS, SHIFT, changed
from lucir_core.data.random_draws import Draws


class Change(NamedTuple):
    """One half of a pair."""

    kind: str
    probability: float
    magnitude: int
    """0 to 9; 9 where the kind has none."""


PAIRS: tuple[tuple[Change, Change], ...] = tuple(
    (Change(*one), Change(*other))
    for one, other in (
        (("invert", 0.1, 9), ("contrast", 0.2, 6)),
        (("rotate", 0.7, 2), ("translate x", 0.3, 9)),
        (("sharpness", 0.8, 1), ("sharpness", 0.9, 3)),
        (("shear y", 0.5, 8), ("translate y", 0.7, 9)),
        (("auto contrast", 0.5, 9), ("equalize", 0.9, 9)),
        (("shear y", 0.2, 7), ("posterize", 0.3, 7)),
        (("colour", 0.4, 3), ("brightness", 0.6, 7)),
        (("sharpness", 0.3, 9), ("brightness", 0.7, 9)),
        (("equalize", 0.6, 9), ("equalize", 0.5, 9)),
        (("contrast", 0.6, 7), ("sharpness", 0.6, 5)),
        (("colour", 0.7, 7), ("translate x", 0.5, 8)),
        (("equalize", 0.3, 9), ("auto contrast", 0.4, 9)),
        (("translate y", 0.4, 3), ("sharpness", 0.2, 6)),
        (("brightness", 0.9, 6), ("colour", 0.2, 8)),
        (("solarize", 0.5, 2), ("invert", 0.0, 9)),
        (("equalize", 0.2, 9), ("auto contrast", 0.6, 9)),
        (("equalize", 0.2, 9), ("equalize", 0.6, 9)),
        (("colour", 0.9, 9), ("equalize", 0.6, 9)),
        (("auto contrast", 0.8, 9), ("solarize", 0.2, 8)),
        (("brightness", 0.1, 3), ("colour", 0.7, 0)),
        (("solarize", 0.4, 5), ("auto contrast", 0.9, 9)),
        (("translate y", 0.9, 9), ("translate y", 0.7, 9)),
        (("auto contrast", 0.9, 9), ("solarize", 0.8, 3)),
        (("equalize", 0.8, 9), ("invert", 0.1, 9)),
        (("translate y", 0.7, 9), ("auto contrast", 0.9, 9)),
    )
)
MAGNITUDES = 9
FULL = {
    "shear x": 0.3 / 0.99,
    "shear y": 0.3 / 0.99,
    "rotate": 30 / 135,
    "posterize": 4 / 6,
    **dict.fromkeys(("brightness", "contrast", "colour", "sharpness"), 0.9 / 0.99),
}
"""What the greatest magnitude is as a part of the greatest strength in `augment_strong`; 1 for what is not named."""
SHIFT_SHARE = 150 / 331
"""Of the side of an image: the greatest shift."""


def change_by_policy(images: Tensor, draws: Draws) -> Tensor:
    """A pair of changes for every image; (batch, 3, size, size) on the scale 0 to 255, whole numbers."""
    shape = (-1, 1, 1)
    pair = draws.integers(len(PAIRS), *shape)
    for place in range(2):
        kinds, levels, probabilities = tables(place, images.shape[-1], images.device)
        happens = draws.uniform(*shape) < probabilities[pair]
        kind = torch.where(happens, kinds[pair], KINDS.index("identity"))
        images = changed(images, kind, levels[pair], draws.integers(2, *shape) * 2 - 1)
    return images


@cache
def tables(place: int, size: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Of the first or second change of every pair, (pairs,) each: place in KINDS, level, probability. Kept, for a CUDA
    graph that is recorded later must not wait for the host."""
    changes = [pair[place] for pair in PAIRS]
    kinds = [KINDS.index("solarize" if change.kind == "invert" else change.kind) for change in changes]
    levels = [change.magnitude / MAGNITUDES * _full(change.kind, size) * (LEVELS - 1) for change in changes]
    probabilities = [change.probability for change in changes]
    return (
        torch.tensor(kinds, device=device),
        torch.tensor(levels, device=device),
        torch.tensor(probabilities, device=device),
    )


def _full(kind: str, size: int) -> float:
    """The greatest strength of a kind as a part of the one in `augment_strong`. To invert is to solarize all values."""
    return SHIFT_SHARE * size / SHIFT if kind.startswith("translate") else FULL.get(kind, 1.0)
