"""What one run is: data set, protocol, method, settings, seed. Everything that its result depends on but the code."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lucir_core.bench.method_training import training_of
from lucir_core.bench.protocol import Protocol
from lucir_core.config.phase_config import PhaseConfig, load_preset, preset_names
from lucir_core.errors import ConfigError
from lucir_core.methods import create_method

MEMORY_KEYS = ("exemplars_per_class", "memory_total")
NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+=-")


def own_preset(base: str, method: str) -> str:
    """The preset with the method's own published settings, `<base>_<method>`, where there is one; otherwise `base`."""
    own = f"{base}_{method}"
    return own if own in preset_names() else base


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
    """The run's name among others of the same protocol; default: the method, or a preset that is not its own."""
    studies: tuple[str, ...] = ()
    """Figures of the page that the run belongs to beside the main comparison."""

    def __post_init__(self) -> None:
        usual = own_preset("cifar100", self.method)
        if not self.preset:
            object.__setattr__(self, "preset", usual)
        if not self.label:
            # Another preset on CIFAR is another thing to compare; elsewhere it belongs to the data set.
            other = self.dataset.startswith("cifar") and self.preset != usual
            object.__setattr__(self, "label", self.preset.removeprefix("cifar100_") if other else self.method)
        bad = sorted(set(self.label) - NAME_CHARACTERS)
        if bad:
            raise ConfigError(
                f"the label {self.label!r} has {bad[0]!r}: it becomes a file name, use letters and digits"
            )
        create_method(self.method)
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
