"""The contract of a method, its registry, and the two ways a phase's model begins."""

import copy
from collections.abc import Callable
from typing import Any, Protocol

from lucir_core.config.method_registry import HeadName, declare_method
from lucir_core.config.phase_config import PhaseConfig
from lucir_core.errors import ConfigError
from lucir_core.models.heads import LinearHead, growing
from lucir_core.models.model import IncrementalModel, create_model
from lucir_core.registry import Registry
from lucir_core.runtime.randomness import derived_seed, generator
from lucir_core.training.phase_run import PhaseRun


class IncrementalMethod(Protocol):
    """How one phase is learnt. Methods share functions; what most on the linear head begin with is `OnLinearHead`."""

    needs_every_image: bool
    """True where the phase must be given images of all classes (training from scratch), not of the new ones only."""

    def start(
        self, config: PhaseConfig, previous: IncrementalModel | None, old_count: int, new_count: int, seed: int
    ) -> IncrementalModel:
        """The model that the phase begins with, with a row for every class; `previous` must stay as it is."""
        ...

    def learn(self, run: PhaseRun) -> None:
        """Train `run.model` in place. Exemplars are chosen after, or inside by `run.exemplars()`."""
        ...


METHODS: Registry[type[IncrementalMethod]] = Registry("method")


def register_method(
    name: str, *, head: HeadName = "cosine", settings: type[Any] | None = None
) -> Callable[[type[IncrementalMethod]], type[IncrementalMethod]]:
    """Decorator for a method of your own: its name, default head and settings, all in the method's file.

    settings: a frozen dataclass with a default for every field. It stands in configs of this method as the branch that
    bears the method's name (YAML, overrides, checkpoints) and is read by `config.settings_of(Settings)`. Importing the
    file is what makes the method known. Raises ConfigError where the name is taken.
    """
    declare_method(name, head=head, settings=settings)
    return METHODS.register(name)


def create_method(name: str) -> IncrementalMethod:
    """A method by name; raises ConfigError with the nearest names."""
    return METHODS.get(name)()


def grown_model(config: PhaseConfig, previous: IncrementalModel | None, new_count: int, seed: int) -> IncrementalModel:
    """The model of the phase before with fresh rows for the new classes; in phase 0 a new one."""
    model = create_model(config, derived_seed(seed, "backbone")) if previous is None else copy.deepcopy(previous)
    growing(model.head).grow(new_count, generator("cpu", seed, "head"))
    return model


def grown_linear_model(
    config: PhaseConfig, previous: IncrementalModel | None, new_count: int, seed: int
) -> IncrementalModel:
    """`grown_model` for a method that needs the linear head; raises ConfigError with another one."""
    if config.head != "linear":
        raise ConfigError(f"{config.method} needs the linear head, not head = {config.head!r}")
    return grown_model(config, previous, new_count, seed)


class OnLinearHead:
    """How a method on the linear head begins that trains on the phase's images."""

    needs_every_image = False

    def start(
        self, config: PhaseConfig, previous: IncrementalModel | None, old_count: int, new_count: int, seed: int
    ) -> IncrementalModel:
        """The previous model with a linear row for every new class."""
        return grown_linear_model(config, previous, new_count, seed)


def linear_head(model: IncrementalModel) -> LinearHead:
    """The model's head, checked."""
    if not isinstance(model.head, LinearHead):
        raise ConfigError("this method needs the linear head: the model has a cosine one")
    return model.head
