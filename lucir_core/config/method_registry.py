"""What a config must know of a method without importing it: its default head and the branches of its settings.

Two kinds of branches stand in a config, each a frozen dataclass. Shared ones stand in every config, whatever its
method: several methods read them, and documents of all versions hold them. A method's own branch bears the method's
name and stands in the configs of this method only, so that other states are read without its module.
"""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from lucir_core.errors import ConfigError
from lucir_core.registry import Registry

T = TypeVar("T")
HeadName = Literal["cosine", "linear", "analytic"]


@dataclass(frozen=True)
class MethodEntry:
    """What a method declares."""

    head: HeadName
    """Head of a config that chooses none."""
    settings: type[Any] | None = None
    """Frozen dataclass of the branch that bears the method's name; every field has a default."""


DECLARED: Registry[MethodEntry] = Registry("method")
SHARED: Registry[type[Any]] = Registry("branch of settings")


def declare_method(name: str, *, head: HeadName = "cosine", settings: type[Any] | None = None) -> None:
    """Make a method's default head and its own settings known; raises ConfigError where the name is taken."""
    if settings is not None:
        _check_kind(settings)
        if name in SHARED.names():
            raise ConfigError(f"{name!r} is a shared branch of settings: choose another name for the method")
    DECLARED.register(name)(MethodEntry(head, settings))


def shared_settings(name: str) -> Callable[[type[T]], type[T]]:
    """Decorator: a dataclass that stands as branch `name` in every config."""

    def add(kind: type[T]) -> type[T]:
        _check_kind(kind)
        SHARED.register(name)(kind)
        return kind

    return add


def default_head(method: str) -> HeadName:
    """The head that a method declares; cosine for a name that nobody has declared, which `create_method` refuses."""
    return DECLARED.get(method).head if method in DECLARED.names() else "cosine"


def branches_of(method: str) -> Mapping[str, type[Any]]:
    """The settings that stand in a config of `method`, by the names of their branches."""
    branches = {name: SHARED.get(name) for name in SHARED.names()}
    own = DECLARED.get(method).settings if method in DECLARED.names() else None
    return branches if own is None else {**branches, method: own}


def _check_kind(kind: type[Any]) -> None:
    if not dataclasses.is_dataclass(kind) or not kind.__dataclass_params__.frozen:  # type: ignore[attr-defined]  # every dataclass has it
        raise ConfigError(f"settings {kind.__name__} must be a frozen dataclass: add @dataclass(frozen=True)")
