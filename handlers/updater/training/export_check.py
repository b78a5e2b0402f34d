"""An exported model is compared with the PyTorch model on real images before anything is published."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from handlers.inference.preprocess import crop
from lucir_core.config.phase_config import PhaseConfig
from lucir_core.export.onnx_export import compare_onnx
from lucir_core.state import LearnerState

CHECKED_IMAGES, CHECKED_FROZEN = 256, 8
"""Most images that an export is compared on; fewer where the backbone stays the one that was compared before, which
takes PyTorch 30 to 75 ms an image."""
COSINE_TOLERANCE = 1e-4
"""Largest difference between a cosine of PyTorch and of ONNX Runtime: float32 leaves about 1e-6."""


class ExportMismatchError(Exception):
    """The ONNX model does not compute what the PyTorch model computes."""


def most_checked(config: PhaseConfig) -> int:
    """Images that an export of such a state is compared on."""
    return CHECKED_FROZEN if config.frozen else CHECKED_IMAGES


def spread(length: int, most: int) -> list[int]:
    """At most ``most`` indices, evenly over ``range(length)``."""
    return np.linspace(0, length - 1, min(length, most)).astype(int).tolist()  # type: ignore[no-any-return]  # numpy: list of int


def check_export(state: LearnerState, model: Path, images: Sequence[NDArray[np.uint8]]) -> None:
    """Compare both on uint8 images (side, side, 3), one or more. Raises ``ExportMismatchError``."""
    check = compare_onnx(state, model, np.stack([crop(image, state.config.size) for image in images]))
    if check.top1_disagreements or not check.max_cosine_difference <= COSINE_TOLERANCE:
        raise ExportMismatchError(
            f"the ONNX model differs from PyTorch on {check.images} images: {check.top1_disagreements} other answers, "
            f"cosines by up to {check.max_cosine_difference:.2g} (allowed: {COSINE_TOLERANCE:g})"
        )
