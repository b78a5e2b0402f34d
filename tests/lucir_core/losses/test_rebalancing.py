import math

import pytest
import torch

from lucir_core.losses.rebalancing import (
    cross_entropy_loss,
    less_forget_loss,
    less_forget_weight,
    margin_ranking_loss,
    score_mimic_loss,
)


@pytest.fixture
def random() -> torch.Generator:
    return torch.Generator().manual_seed(7)


@pytest.mark.parametrize(
    ("rule", "old", "new", "expected"),
    [
        ("old_over_new", 50, 10, 5 * math.sqrt(5)),
        ("old_over_new", 60, 10, 5 * math.sqrt(6)),
        ("paper", 50, 10, 5 / math.sqrt(5)),
        ("paper", 60, 10, 5 / math.sqrt(6)),
        ("constant", 60, 10, 5.0),
        ("old_over_new", 50, 50, 5.0),
    ],
)
def test_lambda_by_rule(rule: str, old: int, new: int, expected: float) -> None:
    assert less_forget_weight(rule, 5.0, old, new) == pytest.approx(expected)


def test_lambda_is_capped() -> None:
    assert less_forget_weight("old_over_new", 5.0, 1000, 1, 25.0) == 25.0
    assert less_forget_weight("old_over_new", 5.0, 4, 1, 25.0) == pytest.approx(10.0)


def test_lambda_refuses_unknown_rules_and_empty_sides() -> None:
    with pytest.raises(ValueError, match="old_over_new"):
        less_forget_weight("new_over_old", 5.0, 1, 1)
    with pytest.raises(ValueError, match="new=0"):
        less_forget_weight("constant", 5.0, 1, 0)


def ranking_by_hand(cosines: list[list[float]], labels: list[int], old_count: int, top_k: int, margin: float) -> float:
    terms = []
    for row, label in zip(cosines, labels, strict=True):
        if label >= old_count:
            continue
        rivals = sorted(row[old_count:], reverse=True)[:top_k]
        terms += [max(0.0, margin - row[label] + rival) for rival in rivals]
    return sum(terms) / len(terms)


COSINES = [[0.9, 0.1, 0.6, 0.5, -0.2], [0.2, 0.3, 0.1, 0.7, 0.4], [0.0, 0.1, 0.8, 0.9, 0.7]]
LABELS = [0, 1, 3]


@pytest.mark.parametrize("top_k", [1, 2, 3, 9])
def test_ranking_equals_a_loop(top_k: int) -> None:
    loss = margin_ranking_loss(torch.tensor(COSINES), torch.tensor(LABELS), 2, top_k=top_k)
    assert loss.item() == pytest.approx(ranking_by_hand(COSINES, LABELS, 2, top_k, 0.5))


def test_ranking_clips_k_to_a_single_new_class() -> None:
    cosines = [[0.9, 0.1, 0.6], [0.2, 0.3, 0.1]]
    loss = margin_ranking_loss(torch.tensor(cosines), torch.tensor([0, 1]), 2, top_k=2)
    assert loss.item() == pytest.approx(ranking_by_hand(cosines, [0, 1], 2, 1, 0.5))


def test_ranking_is_zero_without_exemplars_new_classes_or_old_classes() -> None:
    cosines = torch.tensor(COSINES, requires_grad=True)
    for labels, old_count in (([2, 3, 4], 2), (LABELS, 5), (LABELS, 0)):
        loss = margin_ranking_loss(cosines, torch.tensor(labels), old_count)
        assert loss.item() == 0.0
        loss.backward()


def test_ranking_against_any_takes_the_best_wrong_class() -> None:
    loss = margin_ranking_loss(torch.tensor(COSINES), torch.tensor(LABELS), 2, top_k=1, against="any")
    assert loss.item() == pytest.approx(((0.5 - 0.9 + 0.6) + (0.5 - 0.3 + 0.7)) / 2)


def test_less_forget_is_zero_for_the_teacher_and_ignores_scale(random: torch.Generator) -> None:
    features = torch.randn(6, 8, generator=random)
    other = torch.randn(6, 8, generator=random)
    assert less_forget_loss(features, features).item() == pytest.approx(0.0, abs=1e-6)
    torch.testing.assert_close(less_forget_loss(3 * features, 0.2 * other), less_forget_loss(features, other))
    by_hand = 1 - (features / features.norm(dim=1, keepdim=True) * other / other.norm(dim=1, keepdim=True)).sum(1)
    torch.testing.assert_close(less_forget_loss(features, other), by_hand.mean())


def test_less_forget_sends_no_gradient_to_the_teacher(random: torch.Generator) -> None:
    student = torch.randn(4, 8, generator=random, requires_grad=True)
    teacher = torch.randn(4, 8, generator=random, requires_grad=True)
    less_forget_loss(student, teacher).backward()
    assert student.grad is not None
    assert teacher.grad is None


def test_less_forget_survives_half_precision(random: torch.Generator) -> None:
    features = torch.randn(4, 8, generator=random)
    loss = less_forget_loss((features * 1e-3).half(), features.half())
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(0.0, abs=1e-3)


def test_score_mimic_sums_over_old_classes_and_averages_over_the_batch() -> None:
    cosines, old = torch.tensor([[0.5, 0.2, 0.9], [0.0, 0.1, 0.3]]), torch.tensor([[0.3, 0.2], [0.4, 0.4]])
    expected = ((0.2**2 + 0.0) + (0.4**2 + 0.3**2)) / 2
    assert score_mimic_loss(cosines, old).item() == pytest.approx(expected)


def test_cross_entropy_equals_minus_log_softmax(random: torch.Generator) -> None:
    logits = torch.randn(5, 4, generator=random)
    labels = torch.tensor([0, 3, 1, 1, 2])
    chosen = torch.stack([logits[i].exp()[label] / logits[i].exp().sum() for i, label in enumerate(labels)])
    torch.testing.assert_close(cross_entropy_loss(logits, labels), -chosen.log().mean())
