"""The losses against loops over plain numbers."""

import math

import pytest
import torch
from torch import Tensor

from lucir_core.losses.distillation import (
    distillation_loss,
    grouped_distillation_loss,
    new_class_loss,
    sigmoid_loss,
)


@pytest.fixture
def scores() -> tuple[Tensor, Tensor, Tensor]:
    """(logits of 6 images over 5 classes, the teacher's over 3, labels)."""
    random = torch.Generator().manual_seed(8)
    logits = 2 * torch.randn(6, 5, generator=random)
    return logits, 2 * torch.randn(6, 3, generator=random), torch.tensor([0, 4, 2, 3, 1, 4])


def softmax(row: list[float], temperature: float = 1.0) -> list[float]:
    powers = [math.exp(value / temperature) for value in row]
    return [power / sum(powers) for power in powers]


def divergence(teacher: list[float], student: list[float]) -> float:
    return sum(p * math.log(p / q) for p, q in zip(softmax(teacher, 2.0), softmax(student, 2.0), strict=True))


def test_distillation_runs_over_old_classes_at_temperature_two(scores: tuple[Tensor, Tensor, Tensor]) -> None:
    logits, old, _ = scores
    expected = sum(divergence(old[i].tolist(), logits[i, :3].tolist()) for i in range(6)) / 6
    assert distillation_loss(logits, old).item() == pytest.approx(expected, rel=1e-5)


def test_distillation_has_the_gradient_of_the_published_mean_over_elements(
    scores: tuple[Tensor, Tensor, Tensor],
) -> None:
    """KL averaged over all elements, times T^2 * 0.25 times the number of old classes."""
    logits, old, _ = scores
    logits.requires_grad_()
    (ours,) = torch.autograd.grad(distillation_loss(logits, old), logits)
    soft, student = torch.softmax(old / 2, dim=1), torch.log_softmax(logits[:, :3] / 2, dim=1)
    published = (soft * (soft.log() - student)).mean() * 2 * 2 * 0.25 * 3
    torch.testing.assert_close(ours, torch.autograd.grad(published, logits)[0])
    assert torch.equal(ours[:, 3:], torch.zeros(6, 2))


def test_distillation_is_zero_for_the_teacher_itself_and_leaves_it_alone(
    scores: tuple[Tensor, Tensor, Tensor],
) -> None:
    logits, _, _ = scores
    old = logits[:, :3].clone().requires_grad_()
    value = distillation_loss(logits.requires_grad_(), old)
    assert value.item() == pytest.approx(0.0, abs=1e-6)
    value.backward()
    assert old.grad is None


def test_grouped_distillation_is_one_softmax_per_earlier_phase(scores: tuple[Tensor, Tensor, Tensor]) -> None:
    logits, old, _ = scores
    expected = 0.0
    for i in range(6):
        for group in (slice(0, 2), slice(2, 3)):
            expected += divergence(old[i, group].tolist(), logits[i, group].tolist()) / 6
    assert grouped_distillation_loss(logits, old, (2, 1)).item() == pytest.approx(expected, rel=1e-5)
    torch.testing.assert_close(
        grouped_distillation_loss(logits, old, (2, 0, 1)), grouped_distillation_loss(logits, old, (2, 1))
    )
    torch.testing.assert_close(grouped_distillation_loss(logits, old, (3,)), distillation_loss(logits, old))


def test_new_class_loss_sees_new_logits_and_new_images_only(scores: tuple[Tensor, Tensor, Tensor]) -> None:
    logits, _, labels = scores
    losses = [-math.log(softmax(logits[i, 3:].tolist())[int(labels[i]) - 3]) for i in range(6) if labels[i] >= 3]
    assert new_class_loss(logits, labels, 3).item() == pytest.approx(sum(losses) / 3, rel=1e-5)
    assert new_class_loss(logits, torch.zeros_like(labels), 3).item() == 0.0
    assert new_class_loss(logits, labels, 5).item() == 0.0


def test_sigmoid_loss_overwrites_the_truth_of_old_classes(scores: tuple[Tensor, Tensor, Tensor]) -> None:
    logits, old, labels = scores
    total = 0.0
    for i in range(6):
        for k in range(5):
            own = 1 / (1 + math.exp(-logits[i, k].item()))
            target = 1 / (1 + math.exp(-old[i, k].item())) if k < 3 else float(labels[i] == k)
            total -= target * math.log(own) + (1 - target) * math.log(1 - own)
    assert sigmoid_loss(logits, labels, old, 100).item() == pytest.approx(total / 6 / 100, rel=1e-5)


def test_sigmoid_loss_of_a_full_head_is_the_plain_mean(scores: tuple[Tensor, Tensor, Tensor]) -> None:
    logits, _, labels = scores
    targets = torch.nn.functional.one_hot(labels, 5).float()
    expected = torch.nn.functional.binary_cross_entropy(logits.sigmoid(), targets)
    torch.testing.assert_close(sigmoid_loss(logits, labels, None, 5), expected)
