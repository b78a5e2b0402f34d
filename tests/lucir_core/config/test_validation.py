"""Every settings dataclass refuses words that its types do not name, and numbers that are not finite."""

import dataclasses
import math
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import pytest

from lucir_core.config.method_registry import DECLARED, branches_of
from lucir_core.config.method_settings import BalancedFinetune, Boost
from lucir_core.config.phase_config import Augmentation, Normalisation, PhaseConfig, load_preset
from lucir_core.config.refine_settings import Refine
from lucir_core.config.validation import hints_of, require_known_values
from lucir_core.errors import ConfigError

KINDS: dict[str, type[Any]] = {
    "": PhaseConfig,
    "normalisation": Normalisation,
    "augment": Augmentation,
    "cbf": BalancedFinetune,
    "refine": Refine,
    "lucir.boost": Boost,
    **{name: kind for method in DECLARED.names() for name, kind in branches_of(method).items()},
}
"""By the branch of a config in which they stand."""


def fields() -> Iterator[tuple[str, type[Any], str, Any]]:
    """(branch, dataclass, field, its type without null)."""
    for branch, kind in KINDS.items():
        for name, hint in hints_of(kind).items():
            choices = [choice for choice in typing.get_args(hint) if choice is not type(None)]
            optional = type(None) in typing.get_args(hint)
            yield branch, kind, name, choices[0] if optional else hint


WORDS = [(branch, kind, name) for branch, kind, name, hint in fields() if typing.get_origin(hint) is Literal]
NUMBERS = [(branch, kind, name) for branch, kind, name, hint in fields() if hint is float]


@pytest.mark.parametrize(("branch", "kind", "name"), WORDS)
def test_a_word_that_is_not_known(branch: str, kind: type[Any], name: str) -> None:
    key = f"{branch}.{name}".removeprefix(".")
    with pytest.raises(ConfigError, match=rf"^{key} is 'nonsense': it must be one of \w+, \w+"):
        kind(**{name: "nonsense"})
    with pytest.raises(ConfigError, match=rf"^{key} is 'nonsense'"):
        dataclasses.replace(kind(), **{name: "nonsense"})


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan, "many"])
@pytest.mark.parametrize(("branch", "kind", "name"), NUMBERS)
def test_a_number_that_is_not_finite(branch: str, kind: type[Any], name: str, value: float) -> None:
    key = f"{branch}.{name}".removeprefix(".")
    with pytest.raises(ConfigError, match=rf"^{key} is '?{value}'?: it must be a finite number"):
        kind(**{name: value})


def test_the_tests_above_see_the_settings() -> None:
    assert {name for _, _, name in WORDS} >= {"schedule", "head", "padding", "policy", "train", "cross_entropy"}
    assert {name for _, _, name in NUMBERS} >= {"lr", "lambda_max", "beta", "temperature", "validation_share"}


@pytest.mark.parametrize("key", ["lr", "lambda_base", "lambda_max", "normalisation.std", "normalisation.mean"])
def test_numbers_of_files_and_overrides_too(key: str) -> None:
    for value in (math.inf, math.nan):
        with pytest.raises(ConfigError, match=rf"{key}.* is {value}: it must be a finite number"):
            load_preset("cifar100", {key: [0.5, value, 0.5] if "." in key else value})


@dataclass(frozen=True)
class Own:
    """Of a method of one's own, which checks nothing itself."""

    kind: Literal["one", "two"] = "one"
    share: float | None = None
    mixed: float | Literal["auto"] = "auto"


def test_settings_of_a_method_of_ones_own() -> None:
    require_known_values(Own("two", 0.5), "own")
    with pytest.raises(ConfigError, match=r"own\.kind is 'three': it must be one of one, two"):
        require_known_values(Own("three"), "own")  # type: ignore[arg-type]  # that is the mistake
    with pytest.raises(ConfigError, match=r"own\.share is inf: it must be a finite number"):
        require_known_values(Own(share=math.inf), "own")


def test_a_config_checks_the_settings_of_a_method_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lucir_core.config.phase_config.branches_of", lambda method: {"own": Own})
    assert PhaseConfig(settings=(Own("two"),)).settings_of(Own).kind == "two"
    with pytest.raises(ConfigError, match=r"own\.kind is 'three'"):
        PhaseConfig(settings=(Own("three"),))  # type: ignore[arg-type]  # that is the mistake
