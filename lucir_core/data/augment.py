"""Random changes of whole batches of uint8 images at once, on their device; and the fixed crop of test time.

Images come in as (batch, side, side, 3) uint8 and leave as (batch, 3, size, size) on the scale 0 to 255, in
channels-last memory. Every draw comes from the generator that is passed in.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

from lucir_core.config.phase_config import Augmentation
from lucir_core.data.augment_auto import change_by_policy
from lucir_core.data.augment_strong import change_strongly, cut_out
from lucir_core.data.random_draws import Draws

CROP_TRIES = 10
"""Draws of a crop's area and shape before falling back to the whole image, as torchvision does it."""


def centre_crop(images: Tensor, size: int) -> Tensor:
    """What the network sees at test time: the centre `size` pixels. Stays uint8."""
    start = (images.shape[1] - size) // 2
    return images[:, start : start + size, start : start + size].permute(0, 3, 1, 2)


def augment_batch(
    images: Tensor,
    size: int,
    choice: Augmentation,
    generator: torch.Generator,
    share: tuple[int, slice] | None = None,
) -> Tensor:
    """One random view of every image; `generator` lives on the images' device.

    share: (n, part) where `images` are that part of a batch of n images: they get the views they have in the batch.
    """
    draws = Draws(generator, *(share or (len(images), None)))
    if choice.random_resized_crop is not None:
        result = _resized_crops(images, size, choice, draws)
    else:
        result = _padded_crops(images, size, choice, draws)
    if choice.brightness:
        result = (result.float() * draws.uniform(-1, 1, 1, 1, **_around(choice.brightness))).clamp_(0.0, 255.0)
    if choice.offset or choice.contrast:
        result = _change_tone(result.float(), choice, draws)
    if choice.strong:
        result = (change_by_policy if choice.policy == "auto" else change_strongly)(result, draws)
    if choice.cutout:
        result = cut_out(result, choice.cutout, draws)
    return result


def _around(change: float) -> dict[str, float]:
    return {"low": 1.0 - change, "high": 1.0 + change}


def _change_tone(images: Tensor, choice: Augmentation, draws: Draws) -> Tensor:
    """One of: nothing, an offset, a contrast; (batch, 3, size, size) on the scale 0 to 255."""
    shape = (-1, 1, 1, 1)
    kinds = 1 + (choice.offset > 0) + (choice.contrast > 0)
    kind = draws.integers(kinds, *shape)
    if choice.offset:
        images = images + draws.uniform(*shape, low=-choice.offset, high=choice.offset) * (kind == 1)
    if choice.contrast:
        factor = draws.uniform(*shape, **_around(choice.contrast))
        mean = images.mean(dim=(1, 2, 3), keepdim=True)
        images = torch.where(kind == kinds - 1, (images - mean) * factor + mean, images)
    return images.clamp(0.0, 255.0)


def _padded_crops(images: Tensor, size: int, choice: Augmentation, draws: Draws) -> Tensor:
    """A border, a crop at a random place, a mirror. One gather for all of it; stays uint8."""
    batch, side = images.shape[:2]
    device = images.device
    padding = choice.crop_padding
    places = side + 2 * padding - size + 1
    offsets = draws.integers(places, 2, -1, 1)
    steps = torch.arange(size, device=device)
    rows, columns = offsets[0] + steps, offsets[1] + steps
    if choice.padding == "edge":
        rows, columns = (rows - padding).clamp_(0, side - 1), (columns - padding).clamp_(0, side - 1)
    elif padding:
        images = functional.pad(images, (0, 0, padding, padding, padding, padding))
    if choice.flip:
        mirrored = draws.uniform(-1, 1) < 0.5
        columns = torch.where(mirrored, columns.flip(1), columns)
    image = torch.arange(batch, device=device).view(-1, 1, 1)
    return images[image, rows.unsqueeze(2), columns.unsqueeze(1)].permute(0, 3, 1, 2)


def _resized_crops(images: Tensor, size: int, choice: Augmentation, draws: Draws) -> Tensor:
    """A crop of random area and shape, scaled to `size` (bilinear), mirrored; float."""
    batch = images.shape[0]
    width, height = _crop_shapes(choice, draws)
    place = draws.uniform(2, -1) * 2.0 - 1.0
    sign = torch.ones(batch, device=images.device)
    if choice.flip:
        sign = torch.where(draws.uniform(-1) < 0.5, -sign, sign)
    # The grid runs from -1 to 1; a crop of relative width w has its centre within 1 - w of the middle.
    zero = torch.zeros_like(width)
    across = torch.stack([width * sign, zero, place[0] * (1.0 - width)], dim=1)
    down = torch.stack([zero, height, place[1] * (1.0 - height)], dim=1)
    grid = functional.affine_grid(torch.stack([across, down], dim=1), [batch, 3, size, size], align_corners=False)
    pixels = images.permute(0, 3, 1, 2).float()
    return functional.grid_sample(pixels, grid, padding_mode="border", align_corners=False)


def _crop_shapes(choice: Augmentation, draws: Draws) -> tuple[Tensor, Tensor]:
    """Relative width and height of every crop, (batch,) each, both at most 1."""
    low, high = choice.random_resized_crop or (1.0, 1.0)
    area = draws.uniform(CROP_TRIES, -1, low=low, high=high)
    narrow, wide = math.log(choice.aspect[0]), math.log(choice.aspect[1])
    aspect = draws.uniform(CROP_TRIES, -1, low=narrow, high=wide).exp()
    width, height = (area * aspect).sqrt(), (area / aspect).sqrt()
    fits = (width <= 1.0) & (height <= 1.0)
    first = fits.to(torch.int8).argmax(dim=0, keepdim=True)
    found = fits.any(dim=0)
    width, height = width.gather(0, first)[0], height.gather(0, first)[0]
    one = torch.ones_like(width)
    return torch.where(found, width, one), torch.where(found, height, one)
