"""TrivialAugment on whole batches at once, on their device; and a hole. No part of LUCIR and off in its presets.

Every image gets one of fourteen changes of random strength (Mueller and Hutter, "TrivialAugment", ICCV 2021, its wide
space; kinds and strengths are those of torchvision's TrivialAugmentWide). Six kinds are a table of 256 values for each
image and channel, so one look-up serves them all. The hole is cutout (DeVries and Taylor, 2017). Nothing here asks the
device for a number, and no tensor comes from the host, so that a CUDA graph can hold it.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

from lucir_core.data.random_draws import Draws

KINDS = (
    "identity",
    "brightness",
    "contrast",
    "posterize",
    "solarize",
    "auto contrast",
    "equalize",
    "colour",
    "sharpness",
    "shear x",
    "shear y",
    "translate x",
    "translate y",
    "rotate",
)
LEVELS = 31
"""Strengths from nothing, 0, to the strongest, 30."""
TABLES, FIRST_WARP = range(1, 7), KINDS.index("shear x")
FACTOR = 0.99
"""Brightness, contrast, colour, sharpness: factors from 1 - this to 1 + this; shear: shift by height up to this."""
SHIFT, TURN, LOST_BITS = 32.0, math.radians(135.0), 6
GREY = 127.0
LUMINANCE = (0.2989, 0.587, 0.114)


def change_strongly(images: Tensor, draws: Draws) -> Tensor:
    """One change of every image; (batch, 3, size, size) on the scale 0 to 255, whole numbers."""
    shape = (-1, 1, 1)
    kind, level = draws.integers(len(KINDS), *shape), draws.integers(LEVELS, *shape)
    sign = draws.integers(2, *shape) * 2 - 1
    return changed(images, kind, level, sign)


def changed(images: Tensor, kind: Tensor, level: Tensor, sign: Tensor) -> Tensor:
    """The changes themselves: kind (place in KINDS) and sign (-1 or 1), (batch, 1, 1) integers; level (0 to 30),
    (batch, 1, 1), may lie between two."""
    images = images.float().round().clamp(0.0, 255.0)
    strength = level / (LEVELS - 1)
    factor = 1.0 + sign * strength * FACTOR
    table = _tables(images, kind, strength, factor)
    result = table.gather(2, images.long().flatten(2)).view(images.shape)
    four = (-1, 1, 1, 1)
    kinds, factors = kind.view(four), factor.view(four)
    result = torch.where(kinds == KINDS.index("colour"), _blend(images, grey(images), factors), result)
    result = torch.where(kinds == KINDS.index("sharpness"), _blend(images, _smoothed(images), factors), result)
    return torch.where(kinds >= FIRST_WARP, _warped(images, kind.flatten(), (sign * strength).flatten()), result)


def cut_out(images: Tensor, side: int, draws: Draws) -> Tensor:
    """A grey square of `side` pixels around a random pixel of every image; what lies outside is not filled."""
    size = images.shape[-1]
    centre = draws.integers(size, 2, -1, 1)
    inside = torch.arange(size, device=images.device) - centre + side // 2
    row, column = ((inside >= 0) & (inside < side)).unbind(0)
    return images.float().masked_fill((row.unsqueeze(2) & column.unsqueeze(1)).unsqueeze(1), GREY)


def grey(images: Tensor) -> Tensor:
    """(batch, 1, size, size): luminance, whole numbers."""
    red, green, blue = images.unbind(1)
    return (LUMINANCE[0] * red + LUMINANCE[1] * green + LUMINANCE[2] * blue).floor().unsqueeze(1)


def _blend(images: Tensor, other: Tensor, factor: Tensor) -> Tensor:
    return (images * factor + other * (1.0 - factor)).clamp(0.0, 255.0).floor()


def _tables(images: Tensor, kind: Tensor, strength: Tensor, factor: Tensor) -> Tensor:
    """(batch, 3, 256): what each value of each channel becomes."""
    value = torch.arange(256, device=images.device, dtype=torch.float32).view(1, 1, 256)
    mean = grey(images).mean(dim=(2, 3)).unsqueeze(2)
    step = torch.exp2((strength * LOST_BITS).round())
    darkest, lightest = images.amin(dim=(2, 3)).unsqueeze(2), images.amax(dim=(2, 3)).unsqueeze(2)
    span = lightest - darkest
    spread = torch.where(span > 0, (value - darkest) * (255.0 / span.clamp_min(1.0)), value)
    by_kind = (
        (value * factor).clamp(0.0, 255.0).floor(),
        _blend(value, mean, factor),
        (value / step).floor() * step,
        torch.where(value >= 255.0 * (1.0 - strength), 255.0 - value, value),
        spread.clamp(0.0, 255.0).floor(),
        _equalized(images, lightest),
    )
    table = value.expand(len(images), 3, 256)
    for place, other in zip(TABLES, by_kind, strict=True):
        table = torch.where(kind == place, other, table)
    return table


def _equalized(images: Tensor, lightest: Tensor) -> Tensor:
    """(batch, 3, 256): every channel's values spread so that each is about equally frequent, as Pillow does it."""
    values = images.long().flatten(2)
    counts = torch.zeros((*values.shape[:2], 256), device=images.device)
    counts = counts.scatter_add(2, values, torch.ones_like(values, dtype=torch.float32))
    step = ((values.shape[2] - counts.gather(2, lightest.long())) / 255.0).floor()
    below = counts.cumsum(2) - counts
    equal = ((below + (step / 2.0).floor()) / step.clamp_min(1.0)).floor().clamp(0.0, 255.0)
    unchanged = torch.arange(256, device=images.device, dtype=torch.float32).expand_as(counts)
    return torch.where(step > 0, equal, unchanged)


def _smoothed(images: Tensor) -> Tensor:
    """A blurred copy: the mean of 3 x 3 pixels with the middle one five times, the outermost pixels as they are."""
    inner = (functional.avg_pool2d(images, 3, 1) * 9.0 + images[:, :, 1:-1, 1:-1] * 4.0) / 13.0
    result = images.clone()
    result[:, :, 1:-1, 1:-1] = inner.round()
    return result


def _warped(images: Tensor, kind: Tensor, signed: Tensor) -> Tensor:
    """Every image sheared, shifted or rotated as `kind` says, black outside, to the nearest pixel.

    kind, signed: (batch,), the latter the strength from -1 to 1.
    """
    zero, one = torch.zeros_like(signed), torch.ones_like(signed)
    angle = signed * TURN * (kind == KINDS.index("rotate"))
    shears = [signed * FACTOR * (kind == KINDS.index(name)) for name in ("shear x", "shear y")]
    # A shear leaves the first row, or column, where it is; the grid runs from -1 to 1 across the image.
    shifts = [
        (signed * SHIFT).trunc() * (kind == KINDS.index(name)) * 2.0 / images.shape[-1]
        for name in ("translate x", "translate y")
    ]
    across = torch.stack([angle.cos() * one, shears[0] - angle.sin(), zero + shears[0] - shifts[0]], dim=1)
    down = torch.stack([shears[1] + angle.sin(), angle.cos() * one, zero + shears[1] - shifts[1]], dim=1)
    grid = functional.affine_grid(torch.stack([across, down], dim=1), list(images.shape), align_corners=False)
    return functional.grid_sample(images.contiguous(), grid, mode="nearest", padding_mode="zeros", align_corners=False)
