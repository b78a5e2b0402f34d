import math

import pytest
import torch

from lucir_core.errors import ConfigError
from lucir_core.models.heads import CosineHead, LinearHead


@pytest.fixture
def random() -> torch.Generator:
    return torch.Generator().manual_seed(3)


@pytest.fixture
def head(random: torch.Generator) -> CosineHead:
    head = CosineHead(8)
    head.grow(3, random)
    return head


def test_logits_are_eta_times_cosines(head: CosineHead, random: torch.Generator) -> None:
    features = torch.randn(5, 8, generator=random)
    assert head.eta.item() == 1.0
    with torch.no_grad():
        head.eta.fill_(7.5)
    scores = head(features)
    expected = torch.nn.functional.cosine_similarity(features[:, None], head.embeddings[None], dim=2)
    torch.testing.assert_close(scores.cosines, expected)
    torch.testing.assert_close(scores.logits, 7.5 * expected)


def test_cosines_ignore_the_scale_of_features(head: CosineHead, random: torch.Generator) -> None:
    features = torch.randn(5, 8, generator=random)
    torch.testing.assert_close(head(features).cosines, head(40 * features).cosines)


def test_growing_keeps_old_rows_and_eta(head: CosineHead, random: torch.Generator) -> None:
    with torch.no_grad():
        head.eta.fill_(4.0)
    before = head.embeddings.detach().clone()
    head.grow(2, random)
    assert torch.equal(head.old, before)
    assert head.class_count == 5
    assert head.eta.item() == 4.0
    assert head.new.abs().max() <= 1 / math.sqrt(8)


def test_growing_by_nothing_makes_all_rows_old(head: CosineHead, random: torch.Generator) -> None:
    head.grow(0, random)
    assert (head.old.shape[0], head.new.shape[0]) == (3, 0)


def test_imprinted_rows_have_the_mean_old_norm_and_point_to_the_class_mean(
    head: CosineHead, random: torch.Generator
) -> None:
    head.grow(2, random)
    means = torch.randn(2, 8, generator=random)
    head.imprint(means)
    expected = sum(row.norm().item() for row in head.old) / 3
    assert [row.norm().item() for row in head.new] == pytest.approx([expected, expected])
    cosines = torch.nn.functional.cosine_similarity(head.new, means)
    torch.testing.assert_close(cosines, torch.ones(2))


def test_imprinting_checks_shapes(head: CosineHead) -> None:
    with pytest.raises(ConfigError, match=r"\(3, 8\)"):
        head.imprint(torch.zeros(2, 8))


def test_linear_head_equals_a_linear_layer_and_keeps_its_rows(random: torch.Generator) -> None:
    head = LinearHead(8)
    head.grow(3, random)
    features = torch.randn(5, 8, generator=random)
    expected = torch.nn.functional.linear(features, head.embeddings, head.bias)
    torch.testing.assert_close(head(features).logits, expected)
    before = head(features).logits
    head.grow(2, random)
    torch.testing.assert_close(head(features).logits[:, :3], before)
