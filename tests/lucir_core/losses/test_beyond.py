"""The losses beyond the paper beside the loops that define them."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from lucir_core.losses.beyond import (
    balanced_distillation_loss,
    balanced_weights,
    decorrelation_loss,
    importance_loss,
    separated_softmax_loss,
)


def drawn(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float32)


def test_the_separated_softmax_is_two_cross_entropies() -> None:
    logits, labels = drawn(6, 5).requires_grad_(True), torch.tensor([0, 2, 1, 3, 4, 3])
    value = separated_softmax_loss(logits, labels, 3)
    old, new = labels < 3, labels >= 3
    one = functional.cross_entropy(logits[old][:, :3], labels[old], reduction="sum")
    two = functional.cross_entropy(logits[new][:, 3:], labels[new] - 3, reduction="sum")
    torch.testing.assert_close(value, (one + two) / 6)
    value.backward()
    assert (logits.grad[new][:, :3] == 0).all()
    assert logits.grad.isfinite().all()
    plain = functional.cross_entropy(logits, labels)
    torch.testing.assert_close(separated_softmax_loss(logits, labels, 0), plain)


def correlations_by_loop(features: Tensor, labels: Tensor) -> Tensor:
    found = []
    for label in labels.unique():
        mine = features[labels == label]
        if len(mine) < 2:
            continue
        unit = (mine - mine.mean(0)) / (mine.var(0) + 1e-8).sqrt()
        matrix = unit.t() @ unit / (len(mine) - 1)
        off = matrix - torch.diag(matrix.diagonal())
        found.append(off.square().sum() / (len(matrix) * (len(matrix) - 1)))
    return torch.stack(found).mean()


def test_the_decorrelation_is_the_mean_squared_correlation_of_each_class() -> None:
    features, labels = drawn(12, 5).requires_grad_(True), torch.tensor([0, 0, 0, 0, 0, 2, 2, 2, 3, 4, 4, 4])
    value = decorrelation_loss(features, labels, 6)
    expected = correlations_by_loop(features, labels)
    torch.testing.assert_close(value, expected)
    (ours,) = torch.autograd.grad(value, features, retain_graph=True)
    (theirs,) = torch.autograd.grad(expected, features)
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5)
    alone = decorrelation_loss(features[:3], torch.tensor([0, 1, 2]), 3)
    assert alone == 0
    assert torch.autograd.grad(alone, features)[0].isfinite().all()


def test_importance_weighs_channels_and_not_scales() -> None:
    student, teacher = drawn(4, 3, 5, 5).requires_grad_(True), drawn(4, 3, 5, 5, seed=2)
    weights = torch.tensor([2.0, 1.0, 0.0])
    value = importance_loss([student], [teacher], [weights])
    total = torch.tensor(0.0)
    for image in range(4):
        for channel in range(3):
            one, two = (
                functional.normalize(part[image, channel].square().flatten(), dim=0) for part in (student, teacher)
            )
            total = total + weights[channel] * (one - two).norm()
    torch.testing.assert_close(value, total / 12)
    torch.testing.assert_close(importance_loss([3.0 * student], [teacher], [weights]), value)
    value.backward()
    assert (student.grad[:, 2] == 0).all()
    same = importance_loss([teacher.requires_grad_(True)], [teacher.detach()], [weights])
    assert same == 0
    assert torch.autograd.grad(same, teacher)[0].isfinite().all()


def test_balanced_weights_favour_few_images_and_are_one_on_average() -> None:
    weights = balanced_weights(torch.tensor([20, 500, 0]), 0.94)
    assert weights.mean() == pytest.approx(1.0)
    assert weights[0] / weights[1] == pytest.approx(1 / (1 - 0.94**20), rel=1e-4)
    assert weights[2] > weights[0]


def test_balanced_distillation_is_zero_at_the_weighted_teacher_and_plain_with_equal_weights() -> None:
    logits, teacher = drawn(4, 3).requires_grad_(True), drawn(4, 3, seed=2).requires_grad_(True)
    equal = balanced_distillation_loss(logits, teacher, torch.ones(3), 2.0)
    student = functional.log_softmax(logits / 2, 1)
    torch.testing.assert_close(equal, functional.kl_div(student, (teacher / 2).softmax(1), reduction="batchmean"))
    weights = torch.tensor([1.5, 1.0, 0.5])
    assert balanced_distillation_loss(teacher + 2.0 * weights.log(), teacher, weights, 2.0) < 1e-6
    equal.backward()
    assert teacher.grad is None
