"""Features of images as test time sees them: eval mode, centre crop, no augmentation, no gradients."""

import torch
from torch import Tensor

from lucir_core.data.augment import centre_crop
from lucir_core.data.phase_data import ImageSet
from lucir_core.errors import ConfigError
from lucir_core.models.model import IncrementalModel

FEATURE_BATCH = 256
"""Images per forward pass; has no influence on the result beyond rounding."""


@torch.no_grad()
def extract_features(
    model: IncrementalModel, images: ImageSet, indices: Tensor, size: int, flip: str = "none"
) -> Tensor:
    """Features (n, dim) float32 on the CPU of images `indices`; the model's train or eval mode is put back.

    flip: `none`, `horizontal` (mirrored left-right) or `channel_reverse` (colours; see `PhaseConfig.nme_flip`).
    """
    was_training = model.training
    model.eval()
    collected = []
    indices = indices.to(images.device)
    for start in range(0, len(indices), FEATURE_BATCH):
        batch = images.gather(indices[start : start + FEATURE_BATCH])
        view = change_view(centre_crop(batch, size), flip)
        collected.append(model.features(view).float())
    model.train(was_training)
    return torch.cat(collected).cpu() if collected else torch.zeros(0, model.feature_dim)


def change_view(images: Tensor, flip: str) -> Tensor:
    """images: (batch, 3, height, width)."""
    if flip == "none":
        return images
    axes = {"horizontal": 3, "channel_reverse": 1}
    if flip not in axes:
        raise ConfigError(f"view {flip!r} is unknown: choose none, horizontal or channel_reverse")
    return images.flip(axes[flip])
