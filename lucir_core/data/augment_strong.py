"""Stronger random changes of a batch of images: one change each of random kind and strength, and a hole.

After TrivialAugment (Mueller and Hutter, ICCV 2021), which draws one operation and its strength per image; the kinds
here are those that work on a whole batch at once on its device. The hole is cutout (DeVries and Taylor, 2017). No part
of LUCIR and off in its presets.
"""

import torch
from torch import Tensor
from torch.nn import functional

from lucir_core.data.random_draws import Draws

NOTHING, BRIGHTNESS, CONTRAST, SATURATION, CAST, ROTATION, SHEAR, SCALE = range(8)
TONE = 0.6
"""Brightness and contrast: factors from 1 - this to 1 + this; saturation: from 0 to 2."""
COLOUR = 0.3
"""Colour cast: a factor of its own for every channel, from 1 - this to 1 + this."""
TURN = 0.4
"""Rotation: radians, and shear: shift by height, from - this to + this."""
SMALLEST, LARGEST = 0.8, 1.25
"""Range of the side of what is shown, in sides of the image."""
GREY = 127.0
LUMINANCE = (0.299, 0.587, 0.114)


def change_strongly(images: Tensor, draws: Draws) -> Tensor:
    """One change of every image, or none with probability 1/8; (batch, 3, size, size) on the scale 0 to 255."""
    shape = (-1, 1, 1, 1)
    kind = draws.integers(8, *shape)
    changed = _toned(images.float(), kind, draws).clamp(0.0, 255.0)
    return torch.where(kind >= ROTATION, _warped(changed, kind, draws), changed)


def cut_out(images: Tensor, side: int, draws: Draws) -> Tensor:
    """A grey square of `side` pixels around a random pixel of every image; what lies outside is not filled."""
    size = images.shape[-1]
    centre = draws.integers(size, 2, -1, 1)
    inside = torch.arange(size, device=images.device) - centre + side // 2
    row, column = ((inside >= 0) & (inside < side)).unbind(0)
    return images.float().masked_fill((row.unsqueeze(2) & column.unsqueeze(1)).unsqueeze(1), GREY)


def _toned(images: Tensor, kind: Tensor, draws: Draws) -> Tensor:
    shape = (-1, 1, 1, 1)
    factor = draws.uniform(*shape, low=1.0 - TONE, high=1.0 + TONE)
    saturation = draws.uniform(*shape, low=0.0, high=2.0)
    cast = draws.uniform(-1, 3, 1, 1, low=1.0 - COLOUR, high=1.0 + COLOUR)
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    weights = torch.tensor(LUMINANCE, device=images.device).view(1, 3, 1, 1)
    luminance = (images * weights).sum(dim=1, keepdim=True)
    result = torch.where(kind == BRIGHTNESS, images * factor, images)
    result = torch.where(kind == CONTRAST, mean + (images - mean) * factor, result)
    result = torch.where(kind == SATURATION, luminance + (images - luminance) * saturation, result)
    return torch.where(kind == CAST, images * cast, result)


def _warped(images: Tensor, kind: Tensor, draws: Draws) -> Tensor:
    """Every image rotated, sheared or scaled about its centre as `kind` says, its border repeated outside."""
    kind = kind.flatten()
    turn = draws.uniform(-1, low=-TURN, high=TURN)
    scale = torch.where(kind == SCALE, draws.uniform(-1, low=SMALLEST, high=LARGEST), torch.ones_like(turn))
    angle, shear = turn * (kind == ROTATION), turn * (kind == SHEAR)
    zero = torch.zeros_like(turn)
    across = torch.stack([angle.cos() * scale, shear - angle.sin(), zero], dim=1)
    down = torch.stack([angle.sin(), angle.cos() * scale, zero], dim=1)
    grid = functional.affine_grid(torch.stack([across, down], dim=1), list(images.shape), align_corners=False)
    return functional.grid_sample(images.contiguous(), grid, padding_mode="border", align_corners=False)
