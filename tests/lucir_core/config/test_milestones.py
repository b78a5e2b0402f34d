"""Milestones of a preset whose epochs are changed."""

from typing import Any

import pytest

from lucir_core.config.method_settings import Der, Eeil
from lucir_core.config.phase_config import load_preset, preset_names
from lucir_core.errors import ConfigError
from lucir_core.training.schedule import phase_schedule


def test_a_shorter_training_lowers_its_rate_as_often() -> None:
    schedule = phase_schedule(load_preset("cifar100", {"epochs": 40}), 5000, first=False)
    rates = [schedule.lr_at(epoch) for epoch in range(40)]
    assert rates == pytest.approx([0.1] * 20 + [0.01] * 10 + [0.001] * 10)


@pytest.mark.parametrize(
    ("preset", "overrides", "milestones"),
    [
        ("cifar100", {"epochs": 200}, (100, 150)),
        ("cifar100", {"epochs": 1}, (1,)),
        ("cifar100", {"epochs": 40, "milestones": [5]}, (5,)),
        ("cifar100", {"epochs": 40, "milestones": []}, ()),
        ("cifar100", {"lr": 0.05}, (80, 120)),
        # A cosine has none, whatever stands there; the defaults were written for 160 epochs.
        ("small", {"epochs": 10}, (80, 120)),
        ("small", {"schedule": "multistep"}, (15, 22)),
    ],
)
def test_of_a_phase(preset: str, overrides: dict[str, Any], milestones: tuple[int, ...]) -> None:
    assert load_preset(preset, overrides).milestones == milestones


@pytest.mark.parametrize(
    ("overrides", "milestones"),
    [
        ({"epochs": 40}, (60, 120, 160)),
        ({"initial_epochs": 40}, (12, 24, 32)),
        ({"initial_epochs": None}, None),
        ({"initial_epochs": None, "initial_milestones": [9]}, (9,)),
        # Those of the later phases, stretched.
        ({"initial_epochs": 40, "initial_milestones": None}, None),
    ],
)
def test_of_phase_0(overrides: dict[str, Any], milestones: tuple[int, ...] | None) -> None:
    assert load_preset("cifar100_der", overrides).initial_milestones == milestones


def test_of_the_later_stages() -> None:
    config = load_preset("cifar100", {"cbf.epochs": 4, "eeil": {"finetune_epochs": 6}, "der.classifier_epochs": 10})
    assert config.cbf.milestones == (2,)
    assert config.settings_of(Eeil).finetune_milestones == (2, 4)
    assert config.settings_of(Der).classifier_milestones == (5,)
    assert load_preset("cifar100", {"cbf": {"epochs": 4, "milestones": [3]}}).cbf.milestones == (3,)


@pytest.mark.parametrize("preset", preset_names())
def test_of_presets_as_they_are(preset: str) -> None:
    config = load_preset(preset)
    again = {"epochs": config.epochs, "initial_epochs": config.initial_epochs, "cbf.epochs": config.cbf.epochs}
    assert load_preset(preset, again) == config


@pytest.mark.parametrize("overrides", [{"epochs": 0}, {"epochs": "many"}, {"epochs": None}, {"cbf": 3}])
def test_what_is_no_number_of_epochs_is_named_as_such(overrides: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=rf"^{next(iter(overrides))} is"):
        load_preset("cifar100", overrides)
