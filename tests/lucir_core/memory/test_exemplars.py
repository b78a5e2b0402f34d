import numpy as np
import pytest

from lucir_core.config.phase_config import PhaseConfig
from lucir_core.errors import ConfigError
from lucir_core.memory.exemplars import choose_exemplars, exemplars_per_class
from lucir_core.memory.herding import herd

FEATURES = np.random.default_rng(0).normal(size=(40, 6))


def test_budget_per_class_and_in_total() -> None:
    assert exemplars_per_class(PhaseConfig(exemplars_per_class=20), 70) == 20
    assert exemplars_per_class(PhaseConfig(exemplars_per_class=None, memory_total=2000), 70) == 28
    ceil = PhaseConfig(exemplars_per_class=None, memory_total=2000, memory_rounding="ceil")
    assert exemplars_per_class(ceil, 70) == 29
    capped = PhaseConfig(exemplars_per_class=None, memory_total=2000, herding_limit=500)
    assert exemplars_per_class(capped, 2) == 500


def test_memory_smaller_than_the_number_of_classes() -> None:
    with pytest.raises(ConfigError, match="5 for 6 classes"):
        exemplars_per_class(PhaseConfig(exemplars_per_class=None, memory_total=5), 6)


def choose(config: PhaseConfig, labels: list[int], kept: list[bool], classes: int) -> list[int]:
    chosen = choose_exemplars(config, np.array(labels), np.array(kept), classes, lambda positions: FEATURES[positions])
    return chosen.tolist()


def test_new_classes_are_herded_and_old_ones_lose_their_tail() -> None:
    labels = [1] * 20 + [0] * 6
    kept = [False] * 20 + [True] * 6
    config = PhaseConfig(exemplars_per_class=None, memory_total=8)
    expected = [20, 21, 22, 23, *herd(FEATURES[:20], 4).tolist()]
    assert choose(config, labels, kept, 2) == expected


def test_a_known_class_with_new_images_is_chosen_anew_from_old_and_new() -> None:
    labels = [0] * 20 + [0] * 5 + [1] * 5
    kept = [False] * 20 + [True] * 10
    config = PhaseConfig(exemplars_per_class=5)
    picks = choose(config, labels, kept, 2)
    assert picks[:5] == herd(FEATURES[:25], 5).tolist()
    assert picks[5:] == [25, 26, 27, 28, 29]


def test_fewer_images_than_exemplars_keeps_all() -> None:
    assert sorted(choose(PhaseConfig(), [0, 0, 1], [False] * 3, 2)) == [0, 1, 2]
