"""Random changes of whole batches of uint8 pictures at once, on their device; and the fixed crop of test time.

Pictures come in as (batch, side, side, 3) uint8 and leave as (batch, 3, size, size) on the scale 0 to 255, in
channels-last memory. Every draw comes from the generator that is passed in.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

from lucir_core.config import Augmentation

CROP_TRIES = 10
"""Draws of a crop's area and shape before falling back to the whole picture, as torchvision does it."""


def centre_crop(images: Tensor, size: int) -> Tensor:
    """What the network sees at test time: the centre `size` pixels. Stays uint8."""
    start = (images.shape[1] - size) // 2
    return images[:, start : start + size, start : start + size].permute(0, 3, 1, 2)


def augment_batch(images: Tensor, size: int, choice: Augmentation, generator: torch.Generator) -> Tensor:
    """One random view of every picture; `generator` lives on the pictures' device."""
    if choice.random_resized_crop is not None:
        result = _resized_crops(images, size, choice, generator)
    else:
        result = _padded_crops(images, size, choice, generator)
    if choice.brightness:
        low, high = 1.0 - choice.brightness, 1.0 + choice.brightness
        factor = torch.empty(len(images), 1, 1, 1, device=images.device).uniform_(low, high, generator=generator)
        result = (result.float() * factor).clamp_(0.0, 255.0)
    if choice.offset or choice.contrast:
        result = _change_tone(result.float(), choice, generator)
    return result


def _change_tone(pictures: Tensor, choice: Augmentation, generator: torch.Generator) -> Tensor:
    """One of: nothing, an offset, a contrast; (batch, 3, size, size) on the scale 0 to 255."""
    shape, device = (len(pictures), 1, 1, 1), pictures.device
    kinds = 1 + (choice.offset > 0) + (choice.contrast > 0)
    kind = torch.randint(kinds, shape, device=device, generator=generator)
    if choice.offset:
        offset = torch.empty(shape, device=device).uniform_(-choice.offset, choice.offset, generator=generator)
        pictures = pictures + offset * (kind == 1)
    if choice.contrast:
        low, high = 1.0 - choice.contrast, 1.0 + choice.contrast
        factor = torch.empty(shape, device=device).uniform_(low, high, generator=generator)
        mean = pictures.mean(dim=(1, 2, 3), keepdim=True)
        pictures = torch.where(kind == kinds - 1, (pictures - mean) * factor + mean, pictures)
    return pictures.clamp(0.0, 255.0)


def _padded_crops(images: Tensor, size: int, choice: Augmentation, generator: torch.Generator) -> Tensor:
    """A border, a crop at a random place, a mirror. One gather for all of it; stays uint8."""
    batch, side = images.shape[:2]
    device = images.device
    padding = choice.crop_padding
    places = side + 2 * padding - size + 1
    offsets = torch.randint(places, (2, batch, 1), device=device, generator=generator)
    steps = torch.arange(size, device=device)
    rows, columns = offsets[0] + steps, offsets[1] + steps
    if choice.padding == "edge":
        rows, columns = (rows - padding).clamp_(0, side - 1), (columns - padding).clamp_(0, side - 1)
    elif padding:
        images = functional.pad(images, (0, 0, padding, padding, padding, padding))
    if choice.flip:
        mirrored = torch.rand(batch, 1, device=device, generator=generator) < 0.5
        columns = torch.where(mirrored, columns.flip(1), columns)
    picture = torch.arange(batch, device=device).view(-1, 1, 1)
    return images[picture, rows.unsqueeze(2), columns.unsqueeze(1)].permute(0, 3, 1, 2)


def _resized_crops(images: Tensor, size: int, choice: Augmentation, generator: torch.Generator) -> Tensor:
    """A crop of random area and shape, scaled to `size` (bilinear), mirrored; float."""
    batch = images.shape[0]
    width, height = _crop_shapes(batch, choice, images.device, generator)
    place = torch.rand(2, batch, device=images.device, generator=generator) * 2.0 - 1.0
    sign = torch.ones(batch, device=images.device)
    if choice.flip:
        sign = torch.where(torch.rand(batch, device=images.device, generator=generator) < 0.5, -sign, sign)
    # The grid runs from -1 to 1; a crop of relative width w has its centre within 1 - w of the middle.
    zero = torch.zeros_like(width)
    across = torch.stack([width * sign, zero, place[0] * (1.0 - width)], dim=1)
    down = torch.stack([zero, height, place[1] * (1.0 - height)], dim=1)
    grid = functional.affine_grid(torch.stack([across, down], dim=1), [batch, 3, size, size], align_corners=False)
    pixels = images.permute(0, 3, 1, 2).float()
    return functional.grid_sample(pixels, grid, padding_mode="border", align_corners=False)


def _crop_shapes(
    batch: int, choice: Augmentation, device: torch.device, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Relative width and height of every crop, (batch,) each, both at most 1."""
    low, high = choice.random_resized_crop or (1.0, 1.0)
    area = torch.empty(CROP_TRIES, batch, device=device).uniform_(low, high, generator=generator)
    limits = math.log(choice.aspect[0]), math.log(choice.aspect[1])
    aspect = torch.empty(CROP_TRIES, batch, device=device).uniform_(*limits, generator=generator).exp()
    width, height = (area * aspect).sqrt(), (area / aspect).sqrt()
    fits = (width <= 1.0) & (height <= 1.0)
    first = fits.to(torch.int8).argmax(dim=0, keepdim=True)
    found = fits.any(dim=0)
    width, height = width.gather(0, first)[0], height.gather(0, first)[0]
    one = torch.ones_like(width)
    return torch.where(found, width, one), torch.where(found, height, one)
