"""Prototypes carried along: exactly where features move by an affine map, and nowhere where they do not move."""

import torch
from torch.nn import functional

from lucir_core.memory.transport import blended, transported


def unit(rows: torch.Tensor) -> torch.Tensor:
    return functional.normalize(rows, dim=1)


def test_means_follow_a_turn_of_the_features_and_stay_where_nothing_moves() -> None:
    random = torch.Generator().manual_seed(1)
    before, means = torch.randn(400, 8, generator=random), unit(torch.randn(5, 8, generator=random))
    turn, _ = torch.linalg.qr(torch.randn(8, 8, generator=random))
    torch.testing.assert_close(transported(means, before, 3.0 * before), means)
    carried = transported(means, before, before @ turn)
    assert (carried * unit(means @ turn)).sum(1).min() > 0.999
    assert (means * unit(means @ turn)).sum(1).max() < 0.9


def test_means_follow_into_the_features_of_a_network_that_has_grown() -> None:
    random = torch.Generator().manual_seed(1)
    before, means = torch.randn(400, 8, generator=random), unit(torch.randn(5, 8, generator=random))
    turn, _ = torch.linalg.qr(torch.randn(8, 8, generator=random))
    carried = transported(means, before, torch.cat([before, before @ turn], dim=1))
    assert carried.shape == (5, 16)
    assert (carried * unit(torch.cat([means, means @ turn], dim=1))).sum(1).min() > 0.999


def test_one_image_and_equal_features_are_no_reason_to_fail() -> None:
    means = unit(torch.eye(3)[:2] + 0.1)
    for images in (torch.ones(1, 3), torch.ones(4, 3)):
        carried = transported(means, images, images.roll(1, 1))
        assert carried.isfinite().all()
        torch.testing.assert_close(carried, means)


def test_a_share_lies_between_the_two() -> None:
    one, two = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    torch.testing.assert_close(blended(one, two, 0.0), one)
    torch.testing.assert_close(blended(one, two, 1.0), two)
    torch.testing.assert_close(blended(one, two, 0.5), unit(one + two))
