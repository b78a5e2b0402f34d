"""Whether a pretrained backbone that stays as it is would do better on the images at hand than the network learnt here.

On CIFAR-100's classes of 32 pixels, drawn up to 224, EfficientNet-Lite0's features and ridge regression are right in 95
to 97 % of five classes of 70 images; the preset `small` reached 84 % of five classes of 300 after minutes.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from lucir_core.config.phase_config import load_preset
from lucir_core.data.augment import centre_crop
from lucir_core.export.onnx_export import predict
from lucir_core.frozen.analytic import fit_ridge, unit_rows
from lucir_core.frozen.extraction import FeatureExtractor
from lucir_core.frozen.intervals import wilson
from lucir_core.memory.image_blobs import ImageBlobs
from lucir_core.models.model import create_model
from lucir_core.state import LearnerState
from lucir_core.weights.pretrained import is_installed

PRESET = "photo"
LEAST_SIDE = 32
"""Pixels; what is smaller has nothing of a photograph."""
LEAST_HELD = 20
LEARNT, HELD = 200, 100
"""Images that are looked at, at most: some seconds of two cores."""


@dataclass(frozen=True)
class Comparison:
    """Shares of the same held-out images that are right."""

    own: float
    frozen: float
    images: int
    is_better: bool
    """Whether the frozen backbone's 95 % interval lies above the network's own share."""

    def __str__(self) -> str:
        return (
            f"the preset {PRESET} would be right in {self.frozen:.0%} of {self.images} held-out images, the network "
            f"learnt from scratch is in {self.own:.0%}"
        )


def compare_with_frozen(state: LearnerState, holdout: ImageBlobs) -> Comparison | None:
    """Compare on a sample of held-out images; None where the weights are missing, or images are too few or too small.

    The head is computed from exemplars of the state, which are fewer than the images that the network was trained on.
    """
    network = load_preset(PRESET).network
    few = min(len(holdout), len(state.exemplars)) < LEAST_HELD or len(state.classes) < 2
    if state.config.frozen or state.config.size < LEAST_SIDE or few or not is_installed(network):
        return None
    places = {name: label for label, name in enumerate(state.classes)}
    held = [row for row in range(len(holdout)) if holdout.classes[holdout.labels[row]] in places]
    held = [held[place] for place in _spread(len(held), HELD)]
    asked = np.stack([holdout.decode_square(row, state.config.resize) for row in held])
    truth = np.array([places[holdout.classes[holdout.labels[row]]] for row in held])
    rows = _spread(len(state.exemplars), LEARNT)
    learnt = np.stack([state.exemplars.decode_square(row, state.config.resize) for row in rows])
    size = load_preset(PRESET).size
    extract = FeatureExtractor(create_model(load_preset(PRESET), 0), size)
    units, questions = (unit_rows(extract(_drawn(images, size))) for images in (learnt, asked))
    fit = fit_ridge(units, state.exemplars.labels[rows], len(state.classes))
    right = int(((questions @ fit.weights.T + fit.bias).argmax(axis=1) == truth).sum())
    own = predict(state, centre_crop(torch.from_numpy(asked), state.config.size))[0].argmax(dim=1).numpy()
    share = float((own == truth).mean())
    return Comparison(share, right / len(truth), len(truth), wilson(right, len(truth)).low > share)


def _spread(count: int, most: int) -> list[int]:
    """At most so many places, evenly from all: images lie by class."""
    places: list[int] = np.unique(np.linspace(0, count - 1, min(count, most)).astype(np.int64)).tolist()
    return places


def _drawn(images: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """(n, size, size, 3) of images (n, side, side, 3), as an image of this size would be read."""
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float()
    drawn = functional.interpolate(pixels, size=(size, size), mode="bilinear", antialias=True)
    return drawn.round().clamp(0, 255).byte().permute(0, 2, 3, 1).contiguous().numpy()
