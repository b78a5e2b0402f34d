"""What one run is: data set, protocol, method, settings, seed. Everything that its result depends on but the code."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

from lucir_core.bench.datasets.dataset import VALIDATION
from lucir_core.bench.method_training import training_of
from lucir_core.bench.protocol import Protocol
from lucir_core.config.phase_config import PhaseConfig, load_preset, preset_names
from lucir_core.errors import ConfigError
from lucir_core.methods import METHODS, create_method
from lucir_core.registry import nearest_names

MEMORY_KEYS = ("exemplars_per_class", "memory_total")
CIFAR: Final = {"cifar100": 100, "cifar10": 10}
"""Data sets with protocols of the papers, and how many classes they have."""
STUDIES: Final = ("components", "exemplars", "lambda", "orders", "plus")
"""Figures and tables of the page that runs belong to beside the main comparison."""
NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+=-")


def own_preset(base: str, method: str) -> str:
    """The preset with the method's own published settings, `<base>_<method>`, where there is one; otherwise `base`."""
    own = f"{base}_{method}"
    return own if own in preset_names() else base


def usual_label(method: str, preset: str, *, on_cifar: bool) -> str:
    """What a run is called that was given no label: its method, and on CIFAR a preset that is not the method's own.

    There another preset is another thing to compare; elsewhere it belongs to the data set.
    """
    if not on_cifar or preset == own_preset("cifar100", method):
        return method
    name = preset.removeprefix("cifar100_")
    return name if name.startswith(method) and name not in METHODS.names() else f"{method}-{name}"


def names_another(label: str, method: str) -> bool:
    """Whether a reader would take runs of `method` with this label for another method's: `bic`, `bic-r5`, `bic+cbf`."""
    if label == method:
        return False
    words = {label, re.split(r"[-+]", label)[0]}
    presets = _methods_of_presets()
    others = {word for word in words if (word if word in METHODS.names() else presets.get(word, method)) != method}
    return bool(others) and not label.startswith((f"{method}-", f"{method}+"))


@cache
def _methods_of_presets() -> Mapping[str, str]:
    """The method by what a preset of CIFAR is called in labels: `lucir_plus` is one of `lucir`."""
    names = [name for name in preset_names() if name.startswith("cifar100_")]
    return {name.removeprefix("cifar100_"): load_preset(name).method for name in names}


@dataclass(frozen=True)
class RunSpec:
    """One run. Raises ConfigError on construction when a name is unknown or a setting is out of range."""

    dataset: str
    protocol: Protocol
    method: str
    preset: str = ""
    """Default: `own_preset` of the method on CIFAR."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Changes of the preset, by dotted key, over those of the protocol."""
    seed: int = 1993
    label: str = ""
    """The run's name among others of the same protocol; default: `usual_label`."""
    studies: tuple[str, ...] = ()
    """Of `STUDIES`, those that the run belongs to."""
    module: str = ""
    """The Python module that was imported first, with a method of one's own."""
    reading: Mapping[str, Any] = field(default_factory=dict)
    """How a folder of images was read; empty where the data set is no folder."""

    def __post_init__(self) -> None:
        create_method(self.method)
        if self.settings.get("method", self.method) != self.method:
            raise ConfigError(
                f"the settings say method = {self.settings['method']}, and {self.method} would run: choose the method "
                "by --method, in a suite by method"
            )
        if not self.preset:
            object.__setattr__(self, "preset", own_preset("cifar100", self.method))
        if not self.label:
            on_cifar = self.dataset.partition(VALIDATION)[0] in CIFAR and not self.reading
            object.__setattr__(self, "label", usual_label(self.method, self.preset, on_cifar=on_cifar))
        bad = sorted(set(self.label) - NAME_CHARACTERS)
        if bad:
            raise ConfigError(
                f"the label {self.label!r} has {bad[0]!r}: it becomes a file name, use letters and digits"
            )
        if names_another(self.label, self.method):
            raise ConfigError(
                f"the label {self.label!r} is the name of another method, and {self.method} would run: choose a label "
                f"that begins with {self.method}-"
            )
        unknown = sorted(set(self.studies) - set(STUDIES))
        if unknown:
            raise ConfigError(f"unknown study {unknown[0]!r}: {nearest_names(unknown[0], STUDIES)}")
        self.protocol.check(self.config)

    @property
    def config(self) -> PhaseConfig:
        """The resolved configuration of every phase."""
        chosen = {**self.settings, "method": self.method}
        base = dict(self.protocol.settings)
        base |= training_of(self.protocol.name, load_preset(self.preset, self._with_base(base, chosen)))
        return load_preset(self.preset, self._with_base(base, chosen))

    @staticmethod
    def _with_base(base: Mapping[str, Any], chosen: Mapping[str, Any]) -> dict[str, Any]:
        """`chosen` over `base`; of two memories the chosen one alone."""
        if any(key in chosen for key in MEMORY_KEYS):
            base = {key: value for key, value in base.items() if key not in MEMORY_KEYS}
        return {**base, **chosen}

    @property
    def name(self) -> str:
        """Of the run's files."""
        return f"{self.dataset}.{self.protocol.title}.{self.label}.{self.seed}"

    def identity(self) -> dict[str, Any]:
        """What a resumed run must share, in plain values for JSON."""
        return {
            "dataset": self.dataset,
            "protocol": self.protocol.to_dict(),
            "method": self.method,
            "label": self.label,
            "preset": self.preset,
            "settings": dict(self.settings),
            "seed": self.seed,
            "config": self.config.to_dict(),
        }

    def notes(self) -> dict[str, Any]:
        """What a result says beside that, so that the same command can be written again."""
        return {"studies": list(self.studies), "module": self.module, "reading": dict(self.reading)}
