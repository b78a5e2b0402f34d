"""TrivialAugment on batches against torchvision's changes of single images, and cutout."""

import math

import numpy as np
import pytest
import torch
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as tv

from lucir_core.config.phase_config import Augmentation
from lucir_core.data.augment import augment_batch
from lucir_core.data.augment_strong import GREY, KINDS, LEVELS, changed

STILL = {"crop_padding": 0, "flip": False}
NEAREST = {"interpolation": InterpolationMode.NEAREST, "fill": [0.0]}


def ramps(count: int) -> torch.Tensor:
    """(count, 16, 16, 3) uint8, the same coloured ramp in all."""
    y, x = np.mgrid[:16, :16]
    ramp = np.stack([80 + 4 * x, 90 + 3 * y, 60 + 2 * x + 2 * y], axis=2).astype(np.uint8)
    return torch.from_numpy(np.repeat(ramp[None], count, axis=0))


def views(choice: Augmentation, count: int = 800, seed: int = 3) -> np.ndarray:
    """(count, 16, 16, 3)"""
    changed = augment_batch(ramps(count), 16, choice, torch.Generator().manual_seed(seed))
    return changed.float().numpy().transpose(0, 2, 3, 1)


def sheared(image: torch.Tensor, across: float, down: float) -> torch.Tensor:
    angles = [math.degrees(math.atan(across)), math.degrees(math.atan(down))]
    return tv.affine(image, angle=0.0, translate=[0, 0], scale=1.0, shear=angles, center=[0.0, 0.0], **NEAREST)


def shifted(image: torch.Tensor, across: int, down: int) -> torch.Tensor:
    return tv.affine(image, angle=0.0, translate=[across, down], scale=1.0, shear=[0.0, 0.0], **NEAREST)


def expected(image: torch.Tensor, kind: str, strength: float, sign: int) -> torch.Tensor:
    """torchvision's change; image: (3, size, size) uint8."""
    factor, signed = 1.0 + sign * strength * 0.99, sign * strength
    changes = {
        "identity": lambda: image,
        "brightness": lambda: tv.adjust_brightness(image, factor),
        "contrast": lambda: tv.adjust_contrast(image, factor),
        "posterize": lambda: tv.posterize(image, 8 - round(strength * 6)),
        "solarize": lambda: tv.solarize(image, 255.0 * (1.0 - strength)),
        "auto contrast": lambda: tv.autocontrast(image),
        "equalize": lambda: tv.equalize(image),
        "colour": lambda: tv.adjust_saturation(image, factor),
        "sharpness": lambda: tv.adjust_sharpness(image, factor),
        "shear x": lambda: sheared(image, signed * 0.99, 0.0),
        "shear y": lambda: sheared(image, 0.0, signed * 0.99),
        "translate x": lambda: shifted(image, int(signed * 32), 0),
        "translate y": lambda: shifted(image, 0, int(signed * 32)),
        "rotate": lambda: tv.rotate(image, signed * 135.0, **NEAREST),
    }
    return changes[kind]()


@pytest.mark.parametrize("kind", KINDS)
def test_every_change_is_that_of_torchvision(kind: str) -> None:
    random = torch.Generator().manual_seed(5)
    smooth = torch.rand(1, 3, 6, 6, generator=random) * 200 + 20
    image = torch.nn.functional.interpolate(smooth, size=(32, 32), mode="bicubic").clamp(0, 255).round()
    noisy = (image + torch.randn(image.shape, generator=random) * 8).clamp(0, 255).round()
    for level, sign in ((0, 1), (7, -1), (15, 1), (21, 1), (LEVELS - 1, -1)):
        ours = changed(noisy, *(torch.full((1, 1, 1), value) for value in (KINDS.index(kind), level, sign)))[0]
        theirs = expected(noisy[0].to(torch.uint8), kind, level / (LEVELS - 1), sign).float()
        difference = (ours - theirs).abs().amax(dim=0)
        # A pixel on the edge between two may fall to either side; values may be rounded the other way.
        assert (difference > 1).float().mean() < 0.03, (level, sign)


def test_kinds_and_strengths_are_equally_frequent_and_values_stay_in_range() -> None:
    result = views(Augmentation(strong=True, **STILL), 1400)
    same = np.abs(result - ramps(1)[0].numpy()).max(axis=(1, 2, 3)) < 0.01
    # The identity, the lowest strength of the others, and what a dark image does not show of solarize and posterize.
    assert 1 / 14 < same.mean() < 1 / 5
    assert (result.min(), result.max()) == (0, 255)
    assert len({view.tobytes() for view in result}) > 300


def test_a_hole_is_grey_of_its_side_and_anywhere() -> None:
    changed = views(Augmentation(cutout=6, **STILL))
    hole = (changed == GREY).all(axis=3)
    inner = hole.sum(axis=(1, 2))
    assert inner.max() == 36
    assert inner.min() == 9
    assert hole.any(axis=0).all()
    original = ramps(1)[0].numpy().astype(float)
    assert (changed[~hole] == np.broadcast_to(original, changed.shape)[~hole]).all()


def test_a_part_of_a_batch_gets_the_views_it_has_in_the_batch() -> None:
    choice = Augmentation(strong=True, cutout=4, **STILL)
    whole = augment_batch(ramps(10), 16, choice, torch.Generator().manual_seed(5))
    part = augment_batch(ramps(4), 16, choice, torch.Generator().manual_seed(5), (10, slice(3, 7)))
    torch.testing.assert_close(part, whole[3:7])
