import numpy as np
import pytest

from lucir_core.errors import ConfigError
from lucir_core.memory.herding import herd


def features(seed: int, count: int = 200, dim: int = 16) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.3, 1.0, (count, dim))


def unit(values: np.ndarray) -> np.ndarray:
    return values / np.linalg.norm(values, axis=1, keepdims=True)


@pytest.mark.parametrize("rule", ["greedy", "official"])
@pytest.mark.parametrize("count", [5, 10, 20])
def test_picks_are_closer_to_the_mean_than_random_ones(rule: str, count: int) -> None:
    for seed in range(5):
        values = features(seed)
        mean = unit(values).mean(axis=0)
        picks = herd(values, count, rule)
        random = np.random.default_rng(seed).permutation(len(values))[:count]
        herded, drawn = (np.linalg.norm(unit(values)[chosen].mean(axis=0) - mean) for chosen in (picks, random))
        assert herded < drawn


@pytest.mark.parametrize("rule", ["greedy", "official"])
def test_a_smaller_budget_is_the_head_of_a_larger_one(rule: str) -> None:
    values = features(1)
    assert herd(values, 7, rule).tolist() == herd(values, 20, rule)[:7].tolist()


def test_greedy_never_repeats_and_equals_a_brute_force_search() -> None:
    values = features(2, count=12, dim=4)
    normal, mean = unit(values), unit(values).mean(axis=0)
    picks: list[int] = []
    for _ in range(12):
        rest = [i for i in range(12) if i not in picks]
        picks.append(min(rest, key=lambda i: float(np.linalg.norm(normal[[*picks, i]].mean(axis=0) - mean))))
    assert herd(values, 12).tolist() == picks


def test_official_rule_gives_up_after_a_thousand_tries() -> None:
    # Two identical clusters: the running vector alternates between the first of each, and the rest is never reached.
    values = np.repeat(np.eye(2), 50, axis=0)
    assert herd(values, 40, "official").tolist() == [0, 50]
    assert len(herd(values, 40, "greedy")) == 40


def test_tiny_classes_keep_all_images() -> None:
    assert herd(features(3, count=1), 20).tolist() == [0]
    assert sorted(herd(features(3, count=4), 20).tolist()) == [0, 1, 2, 3]


def test_scale_of_features_does_not_matter_and_zeros_do_no_harm() -> None:
    values = features(4)
    factors = np.random.default_rng(0).uniform(0.1, 9, (len(values), 1))
    assert herd(values, 20).tolist() == herd(values * factors, 20).tolist()
    values[3] = 0.0
    assert len(set(herd(values, 20).tolist())) == 20


def test_unknown_rule() -> None:
    with pytest.raises(ConfigError, match="greedy or official"):
        herd(features(0), 3, "random")
