"""Digits that a frozen backbone tells apart badly, and that its last stages learn in a second or two."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from sklearn.datasets import load_digits

from lucir_core.config.phase_config import PhaseConfig, load_preset
from lucir_core.data.phase_data import PhaseData
from lucir_core.models import create_backbone

SIDE = 32
REFINE = {"stages": 2, "steps": 80, "balanced_steps": 10, "lr": 0.02, "views": 1, "validation_share": 0.4}


def drawn_weights(path: Path) -> Path:
    """A file of weights that were drawn, not trained, with normalisation that fits digits: it can be trained on."""
    backbone = create_backbone("resnet8", last_relu=True, seed=1).train()
    for module in backbone.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # the plain mean of what it sees
    images, _ = digit_images(range(10), 8)
    with torch.no_grad():
        backbone(torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1.0)
    save_file({name: value.contiguous() for name, value in backbone.state_dict().items()}, path)
    return path


def frozen_overrides(weights: Path, **refine: Any) -> dict[str, Any]:
    """Of the preset `photo`: this network, and a refinement that takes a second or two."""
    return {
        "network": "resnet8",
        "weights": str(weights),
        "last_relu": True,
        "size": SIDE,
        "resize": SIDE,
        "lambda_base": 0.1,
        "augment": {"flip": False, "crop_padding": 2},
        "refine": REFINE | refine,
    }


def frozen_config(weights: Path, **refine: Any) -> PhaseConfig:
    return load_preset("photo", frozen_overrides(weights, **refine))


def digit_images(digits: range, count: int, first: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(n, 32, 32, 3) uint8, dark on light, and (n,) labels: `count` of each digit."""
    everything = load_digits()
    rows = np.concatenate([np.flatnonzero(everything.target == digit)[first : first + count] for digit in digits])
    drawn = [Image.fromarray((255 - 15.9 * everything.images[row]).astype(np.uint8)) for row in rows]
    images = [np.asarray(one.resize((SIDE, SIDE), Image.Resampling.BILINEAR).convert("RGB")) for one in drawn]
    return np.stack(images), everything.target[rows].astype(np.int64)


def digit_phase(digits: range, count: int, first: int = 0, known: int | None = None) -> PhaseData:
    """The same as a phase whose classes are all digits below `known` (default: below the last one)."""
    images, labels = digit_images(digits, count, first)
    return PhaseData(images, labels, tuple(map(str, range(known or digits.stop))))
