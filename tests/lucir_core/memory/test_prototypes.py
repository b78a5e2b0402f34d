import numpy as np
import torch

from lucir_core.memory.prototypes import class_prototypes
from lucir_core.models.features import change_view


def test_prototype_is_the_normalised_mean_over_exemplars_and_views() -> None:
    random = torch.Generator().manual_seed(1)
    views = [torch.randn(7, 5, generator=random) for _ in range(2)]
    labels = np.array([0, 0, 0, 1, 1, 1, 1])
    prototypes = class_prototypes(views, labels, 2)
    for label in (0, 1):
        means = [(view / view.norm(dim=1, keepdim=True))[labels == label].mean(dim=0) for view in views]
        expected = (means[0] + means[1]) / 2
        torch.testing.assert_close(prototypes[label], expected / expected.norm())


def test_prediction_ignores_the_scale_of_features() -> None:
    random = torch.Generator().manual_seed(2)
    features = torch.randn(9, 5, generator=random)
    labels = np.repeat([0, 1, 2], 3)
    scales = torch.rand(9, 1, generator=random) * 10 + 0.1
    torch.testing.assert_close(
        class_prototypes([features], labels, 3), class_prototypes([features * scales], labels, 3)
    )


def test_a_class_without_exemplars_gets_zero() -> None:
    prototypes = class_prototypes([torch.ones(2, 4)], np.array([0, 0]), 2)
    assert prototypes[1].tolist() == [0.0] * 4


def test_the_horizontal_view_mirrors_left_and_right_only() -> None:
    image = torch.arange(12.0).view(1, 3, 2, 2)
    assert change_view(image, "horizontal")[0, 0].tolist() == [[1.0, 0.0], [3.0, 2.0]]
    assert change_view(image, "channel_reverse")[0, 0].tolist() == image[0, 2].tolist()
    assert change_view(image, "none") is image
