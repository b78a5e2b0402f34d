"""TrivialAugment and AutoAugment on batches against torchvision's changes of single images, and cutout."""

import math
from collections.abc import Callable
from typing import Literal

import numpy as np
import pytest
import torch
from torchvision.transforms import AutoAugment, AutoAugmentPolicy, InterpolationMode
from torchvision.transforms.v2 import functional as tv

from lucir_core.config.phase_config import Augmentation
from lucir_core.data import augment_auto
from lucir_core.data.augment import augment_batch
from lucir_core.data.augment_strong import GREY, KINDS, LEVELS, changed

STILL = {"crop_padding": 0, "flip": False}
NEAREST = {"interpolation": InterpolationMode.NEAREST, "fill": [0.0]}


STRENGTHS: dict[str, tuple[Callable[[float], float], float]] = {
    "Rotate": (lambda level: level * 135, 30),
    "Posterize": (lambda level: level * 6, 4),
    "Solarize": (lambda level: level, 1),
    "TranslateX": (lambda level: level * 32, 150 / 331 * 32),
    "TranslateY": (lambda level: level * 32, 150 / 331 * 32),
    "ShearY": (lambda level: level * 0.99, 0.3),
    **dict.fromkeys(("Brightness", "Color", "Contrast", "Sharpness"), (lambda level: level * 0.99, 0.9)),
}
"""What a part of our strength is, and torchvision's greatest: degrees, bits, part of 255, pixels, shear, change."""


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


def test_the_pairs_and_their_strengths_are_those_of_autoaugment() -> None:
    theirs = AutoAugment(AutoAugmentPolicy.CIFAR10)
    names = {"colour": "Color", "auto contrast": "AutoContrast", "shear y": "ShearY", "translate x": "TranslateX"}
    ours = tuple(
        tuple((names.get(part.kind, part.kind.title().replace(" ", "")), part.probability) for part in pair)
        for pair in augment_auto.PAIRS
    )
    assert ours == tuple(tuple(part[:2] for part in pair) for pair in theirs.policies)
    for place in range(2):
        levels = augment_auto.tables(place, 32, torch.device("cpu"))[1] / (LEVELS - 1)
        for pair, level in zip(theirs.policies, levels.tolist(), strict=True):
            name, _, magnitude = pair[place]
            if magnitude is not None:
                ours_of, greatest = STRENGTHS[name]
                assert ours_of(level) == pytest.approx(greatest * magnitude / 9, rel=1e-5), (name, magnitude)


def test_images_changed_by_the_policy_are_those_of_a_pair_and_not_all_changed() -> None:
    result = views(Augmentation(strong=True, policy="auto", **STILL), 1400)
    same = np.abs(result - ramps(1)[0].numpy()).max(axis=(1, 2, 3)) < 0.01
    assert 1 / 20 < same.mean() < 1 / 3
    inverted = np.abs(result - (255 - ramps(1)[0].numpy())).max(axis=(1, 2, 3)) < 0.01
    assert 0 < inverted.mean() < 1 / 50
    # The strongest shift is 45 % of the side: no image is empty, as TrivialAugment's may be.
    assert (result.max(axis=(1, 2, 3)) > 0).all()


def test_a_hole_is_grey_of_its_side_and_anywhere() -> None:
    changed = views(Augmentation(cutout=6, **STILL))
    hole = (changed == GREY).all(axis=3)
    inner = hole.sum(axis=(1, 2))
    assert inner.max() == 36
    assert inner.min() == 9
    assert hole.any(axis=0).all()
    original = ramps(1)[0].numpy().astype(float)
    assert (changed[~hole] == np.broadcast_to(original, changed.shape)[~hole]).all()


@pytest.mark.parametrize("policy", ["trivial", "auto"])
def test_a_part_of_a_batch_gets_the_views_it_has_in_the_batch(policy: Literal["trivial", "auto"]) -> None:
    choice = Augmentation(strong=True, policy=policy, cutout=4, **STILL)
    whole = augment_batch(ramps(10), 16, choice, torch.Generator().manual_seed(5))
    part = augment_batch(ramps(4), 16, choice, torch.Generator().manual_seed(5), (10, slice(3, 7)))
    torch.testing.assert_close(part, whole[3:7])
