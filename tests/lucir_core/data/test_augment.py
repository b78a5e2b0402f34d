import numpy as np
import pytest
import torch

from lucir_core.config.phase_config import Augmentation
from lucir_core.data.augment import augment_batch, centre_crop


def random(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def some_images(count: int = 8, side: int = 10) -> torch.Tensor:
    return torch.randint(1, 256, (count, side, side, 3), generator=random(9), dtype=torch.uint8)


def test_centre_crop_is_the_middle() -> None:
    images = some_images(side=11)
    assert torch.equal(centre_crop(images, 8), images[:, 1:9, 1:9].permute(0, 3, 1, 2))


def test_no_change_when_nothing_is_chosen() -> None:
    images = some_images()
    result = augment_batch(images, 10, Augmentation(crop_padding=0, flip=False), random())
    assert torch.equal(result, images.permute(0, 3, 1, 2))


@pytest.mark.parametrize("padding", ["black", "edge"])
@pytest.mark.parametrize("flip", [False, True])
def test_every_view_is_some_crop_of_the_padded_image(padding: str, flip: bool) -> None:
    images = some_images(count=40)
    choice = Augmentation(crop_padding=2, padding=padding, flip=flip)  # type: ignore[arg-type]
    views = augment_batch(images, 10, choice, random()).permute(0, 2, 3, 1).numpy()
    seen = set()
    for image, view in zip(images.numpy(), views, strict=True):
        around = ((2, 2), (2, 2), (0, 0))
        padded = np.pad(image, around) if padding == "black" else np.pad(image, around, mode="edge")
        matches = [
            (y, x, mirrored)
            for y in range(5)
            for x in range(5)
            for mirrored in ([False, True] if flip else [False])
            if np.array_equal(padded[y : y + 10, x : x + 10][:, :: -1 if mirrored else 1], view)
        ]
        assert len(matches) == 1
        seen.add(matches[0])
    assert len({(y, x) for y, x, _ in seen}) > 12
    assert {mirrored for *_, mirrored in seen} == ({False, True} if flip else {False})


def test_larger_stored_images_are_cropped_without_padding() -> None:
    images = some_images(side=14)
    views = augment_batch(images, 10, Augmentation(crop_padding=0, flip=False), random())
    for image, view in zip(images.permute(0, 3, 1, 2), views, strict=True):
        crops = [image[:, y : y + 10, x : x + 10] for y in range(5) for x in range(5)]
        assert sum(torch.equal(crop, view) for crop in crops) == 1


def test_draws_follow_from_the_generator() -> None:
    choice = Augmentation(brightness=0.2, random_resized_crop=(0.3, 1.0))
    one, same, other = (augment_batch(some_images(), 10, choice, random(seed)) for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_brightness_is_one_factor_per_image_within_its_range() -> None:
    images = some_images().clamp(max=150)
    views = augment_batch(images, 10, Augmentation(crop_padding=0, flip=False, brightness=0.25), random())
    factors = views / images.permute(0, 3, 1, 2)
    spread = factors.amax(dim=(1, 2, 3)) - factors.amin(dim=(1, 2, 3))
    assert spread.max() < 1e-5
    assert 0.75 <= factors.min() < factors.max() <= 1.25


def test_a_resized_crop_of_everything_is_the_image() -> None:
    choice = Augmentation(random_resized_crop=(1.0, 1.0), aspect=(1.0, 1.0), flip=False)
    images = some_images()
    torch.testing.assert_close(
        augment_batch(images, 10, choice, random()), images.permute(0, 3, 1, 2).float(), atol=0.01, rtol=0
    )


def test_resized_crops_stay_inside_the_image() -> None:
    # On a ramp, what a crop shows tells where it is: never outside, and over the draws nearly everywhere.
    ramp = torch.arange(100, 200, dtype=torch.uint8).view(1, 1, 100, 1).expand(64, 100, 100, 3)
    choice = Augmentation(random_resized_crop=(0.08, 1.0))
    views = augment_batch(ramp, 16, choice, random())
    assert 100 <= views.min() < 105
    assert 195 < views.max() <= 199
    widths = (views.amax(dim=(1, 2, 3)) - views.amin(dim=(1, 2, 3))) / 100
    assert widths.min() < 0.5
    rising = views[:, 0, 0, -1] > views[:, 0, 0, 0]
    assert 10 < rising.sum() < 54
