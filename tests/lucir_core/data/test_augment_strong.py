import numpy as np
import torch

from lucir_core.config.phase_config import Augmentation
from lucir_core.data.augment import augment_batch
from lucir_core.data.augment_strong import GREY

STILL = {"crop_padding": 0, "flip": False}


def ramps(count: int) -> torch.Tensor:
    """(count, 16, 16, 3) uint8, the same coloured ramp in all."""
    y, x = np.mgrid[:16, :16]
    ramp = np.stack([80 + 4 * x, 90 + 3 * y, 60 + 2 * x + 2 * y], axis=2).astype(np.uint8)
    return torch.from_numpy(np.repeat(ramp[None], count, axis=0))


def views(choice: Augmentation, count: int = 800, seed: int = 3) -> np.ndarray:
    """(count, 16, 16, 3)"""
    changed = augment_batch(ramps(count), 16, choice, torch.Generator().manual_seed(seed))
    return changed.float().numpy().transpose(0, 2, 3, 1)


def test_every_image_gets_one_of_eight_changes() -> None:
    original, changed = ramps(1)[0].numpy().astype(float), views(Augmentation(strong=True, **STILL))
    ratio = changed.mean(axis=(1, 2)) / original.mean(axis=(0, 1))
    alike = np.ptp(ratio, axis=1) < 1e-3
    same = np.abs(changed - original).max(axis=(1, 2, 3)) < 0.01
    # Brightness alone multiplies all channels by one number; saturation keeps the luminance and not the channels.
    darker = alike & (np.abs(ratio[:, 0] - 1) > 0.02)
    assert abs(same.mean() - 1 / 8) < 0.05
    assert abs(darker.mean() - 1 / 8) < 0.05
    luminance = changed @ np.array([0.299, 0.587, 0.114])
    expected = original @ np.array([0.299, 0.587, 0.114])
    saturated = (np.abs(luminance - expected).max(axis=(1, 2)) < 0.05) & ~same
    assert abs(saturated.mean() - 1 / 8) < 0.05
    assert changed.min() >= 0
    assert changed.max() <= 255


def test_no_image_has_a_border_of_another_colour() -> None:
    """What a rotation brings in from outside repeats the border: values stay near those of the ramp."""
    white = torch.full((300, 16, 16, 3), 250, dtype=torch.uint8)
    changed = augment_batch(white, 16, Augmentation(strong=True, **STILL), torch.Generator().manual_seed(1))
    spread = changed.float().amax(dim=(2, 3)) - changed.float().amin(dim=(2, 3))
    assert spread.max() < 0.01


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
