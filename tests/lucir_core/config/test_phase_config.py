import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lucir_core.config.method_registry import declare_method
from lucir_core.config.method_settings import Bic, Der, Eeil
from lucir_core.config.phase_config import PhaseConfig, config_from_dict, load_preset, preset_names
from lucir_core.errors import ConfigError

LUCIR_DEFAULTS = {
    "method": "lucir",
    "head": "cosine",
    "lr": 0.1,
    "batch_size": 128,
    "momentum": 0.9,
    "gamma": 0.1,
    "lambda_rule": "old_over_new",
    "lambda_max": None,
    "top_k": 2,
    "margin": 0.5,
    "ranking_weight": 1.0,
    "ranking_against": "new",
    "less_forget": True,
    "score_mimic": False,
    "freeze_old": True,
    "imprint": True,
    "exemplars_per_class": 20,
    "memory_total": None,
    "memory_rounding": "floor",
    "herding": "greedy",
    "nme_flip": "horizontal",
    "schedule": "multistep",
    "min_steps": 0,
}
CIFAR = {"network": "resnet32", "size": 32, "epochs": 160, "milestones": (80, 120), "weight_decay": 5e-4,
         "lambda_base": 5.0}  # fmt: skip
IMAGENET = {"network": "resnet18", "size": 224, "resize": 256, "epochs": 90, "milestones": (30, 60),
            "weight_decay": 1e-4, "lambda_base": 10.0, "herding_limit": 500}  # fmt: skip


@pytest.mark.parametrize(
    ("preset", "expected", "cbf"),
    [("cifar100", CIFAR, False), ("imagenet_subset", IMAGENET, False), ("imagenet_full", IMAGENET, True)],
)
def test_benchmark_presets_are_the_official_settings(preset: str, expected: dict[str, Any], cbf: bool) -> None:
    config = load_preset(preset)
    for name, value in (LUCIR_DEFAULTS | expected).items():
        assert getattr(config, name) == value, name
    assert config.cbf.enabled is cbf
    assert (config.cbf.epochs, config.cbf.lr, config.cbf.milestones) == (20, 0.01, (10,))
    assert config.augment.brightness == 0.0


@pytest.mark.parametrize(
    ("preset", "facts"),
    [
        # The official triple.
        ("cifar100", {"normalisation": {"mean": [0.5071, 0.4866, 0.4409], "std": [0.2009, 0.1984, 0.2023]}}),
        # Digits are never mirrored.
        ("digits", {"augment": {"flip": False}, "nme_flip": "none"}),
        # What made drops of one class after three fail: 20 exemplars, 300 steps and a strong hold on the features.
        ("small", {"exemplars_per_class": 100, "lambda_base": 2.0, "min_steps": 600}),
        # The classifier stage of its experiment.
        ("cifar100_der", {"der": {"classifier_epochs": 30, "classifier_lr": 0.1, "classifier_milestones": [15]}}),
    ],
)
def test_what_a_preset_must_say(preset: str, facts: dict[str, Any]) -> None:
    assert load_preset(preset, facts) == load_preset(preset)


@pytest.mark.parametrize("preset", ["small", "photo_scratch", "digits"])
def test_service_presets_balance_and_cap(preset: str) -> None:
    config = load_preset(preset)
    assert config.cbf.enabled
    assert config.lambda_max is not None


@pytest.mark.parametrize("preset", preset_names())
def test_every_preset_survives_a_round_trip(preset: str) -> None:
    config = load_preset(preset)
    assert config_from_dict(config.to_dict()) == config


def test_overrides_nested_and_dotted() -> None:
    config = load_preset("digits", {"epochs": 3, "augment.crop_padding": 1, "cbf": {"epochs": 2}, "cbf.lr": "5e-3"})
    assert (config.epochs, config.augment.crop_padding, config.augment.flip) == (3, 1, False)
    assert (config.cbf.enabled, config.cbf.epochs, config.cbf.lr) == (True, 2, 5e-3)


def test_choosing_one_memory_unsets_the_other() -> None:
    config = load_preset("digits", {"memory_total": 200})
    assert (config.memory_total, config.exemplars_per_class) == (200, None)


@pytest.mark.parametrize(
    ("preset", "overrides", "message"),
    [
        ("digitz", {}, "did you mean digits"),
        ("digits", {"epoch": 3}, "did you mean epochs"),
        ("digits", {"augment.flop": True}, "augment.flop"),
        ("digits", {"epochs": "many"}, "whole number"),
        ("digits", {"epochs": 2.5}, "whole number"),
        ("digits", {"epochs": True}, "whole number"),
        ("digits", {"epochs": 0}, "epochs is 0"),
        ("digits", {"lambda_rule": "new_over_old"}, "old_over_new, paper, constant"),
        ("digits", {"size": 64}, "resize"),
        ("digits", {"cbf": 3}, "mapping"),
        ("digits", {"normalisation.mean": [0.5]}, "3 values"),
        ("digits", {"normalisation.std": [0.5, 0.5, 0.0]}, "above 0"),
        ("digits", {"milestones": [20, 10]}, "rising"),
        ("digits", {"memory_total": 100, "exemplars_per_class": 10}, "either"),
        ("digits", {"exemplars_per_class": None}, "either"),
        ("digits", {"augment.random_resized_crop": [0.5, 1.5]}, "random_resized_crop"),
        ("digits", {"weights": 3}, "text"),
    ],
)
def test_wrong_choices_name_the_value_and_the_remedy(preset: str, overrides: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_preset(preset, overrides)


def test_config_is_immutable() -> None:
    with pytest.raises(AttributeError):
        PhaseConfig().lr = 1.0  # type: ignore[misc]


OLD = json.loads(Path(__file__).with_name("presets_a175682.json").read_text())
"""What `to_dict` gave at commit a175682, by preset; `changed` is cifar100_der with settings of all methods changed."""


@pytest.mark.parametrize("name", sorted(OLD))
def test_documents_of_an_older_version_read_as_before(name: str) -> None:
    config = config_from_dict(OLD[name])
    assert shared(config.to_dict(), OLD[name]) == OLD[name]


def shared(new: dict[str, Any], old: dict[str, Any]) -> dict[str, Any]:
    """Of `new`, the keys of `old`, in branches too: later versions have more settings."""
    return {key: shared(new[key], value) if isinstance(value, dict) else new[key] for key, value in old.items()}


@pytest.mark.parametrize("preset", sorted(set(OLD) - {"changed"}))
def test_presets_resolve_as_before(preset: str) -> None:
    config = shared(load_preset(preset).to_dict(), OLD[preset])
    different = {key for key in OLD[preset] if config[key] != OLD[preset][key]}
    changed = {
        "cifar100_der": {"der"},
        "cifar100_lucir_plus": {"augment", "initial_epochs"},
        "small": {"exemplars_per_class", "lambda_base", "min_steps"},
    }
    assert different == changed.get(preset, set())


def test_settings_of_methods_are_found_by_their_class() -> None:
    config = config_from_dict(OLD["changed"])
    assert config.settings_of(Der).warmup_epochs == 3
    assert config.settings_of(Bic) == Bic(validation_share=0.2)
    assert config.settings_of(Eeil).views == 2
    assert PhaseConfig(settings=(Der(masks=True),)).settings_of(Der).masks
    assert hash(config) == hash(config_from_dict(OLD["changed"]))


def test_settings_that_do_not_belong_to_a_config() -> None:
    with pytest.raises(ConfigError, match="hold int: give at most one each of Bic, Der"):
        PhaseConfig(settings=(3,))
    with pytest.raises(ConfigError, match="one kind twice"):
        PhaseConfig(settings=(Der(), Der()))
    with pytest.raises(ConfigError, match="unknown key 'settings'"):
        config_from_dict({"settings": []})
    with pytest.raises(ConfigError, match=r"der.warmup_epochs is -1"):
        config_from_dict({"der": {"warmup_epochs": -1}})


def test_a_declaration_that_cannot_work_is_refused() -> None:
    @dataclass
    class Changeable:
        weight: float = 1.0

    with pytest.raises(ConfigError, match="must be a frozen dataclass"):
        declare_method("changeable", settings=Changeable)
    with pytest.raises(ConfigError, match="shared branch"):
        declare_method("distillation", settings=Der)
    with pytest.raises(ConfigError, match="registered twice"):
        declare_method("der")
