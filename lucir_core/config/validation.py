"""Checks of configuration values; a value that fails is named together with what it must be."""

import dataclasses
import math
import types
import typing
from functools import cache
from typing import Any

from lucir_core.errors import ConfigError


def require(holds: bool, name: str, value: object, wanted: str) -> None:
    """Raise ConfigError unless `holds`."""
    if not holds:
        raise ConfigError(f"{name} is {value}: it must be {wanted}")


def require_milestones(name: str, milestones: tuple[int, ...]) -> None:
    """Raise ConfigError unless the milestones are rising epoch numbers."""
    rising = all(first < second for first, second in zip((0, *milestones), milestones, strict=False))
    require(rising, name, milestones, "rising epoch numbers from 1 on")


def require_replay(replay: bool | None, what: str) -> None:
    """Raise ConfigError where `replay` forbids exemplars of earlier phases, which `what` is learnt from."""
    if replay is False:
        raise ConfigError(f"{what} learns from exemplars of earlier phases: replay = false leaves it none")


def require_known_values(settings: Any, branch: str = "") -> None:
    """Raise ConfigError unless every word of a dataclass is one that its type names, and every number is finite.

    Whoever writes a config as YAML has its types checked while it is read (`parsing`); whoever constructs one is
    checked by this alone. branch: where the dataclass stands in a config, `cbf`, for the message.
    """
    for name, hint in hints_of(type(settings)).items():  # type: ignore[arg-type]  # a class is hashable
        _check(hint, getattr(settings, name), f"{branch}.{name}" if branch else name)


@cache
def hints_of(kind: type[Any]) -> dict[str, Any]:
    """The type of each field of a dataclass, by name. Finding them out takes longer than all else that is checked."""
    hints = typing.get_type_hints(kind)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}


def _check(hint: Any, value: Any, where: str) -> None:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        kinds = [kind for kind in arguments if kind is not type(None)]
        # A setting of one's own may be of several kinds; those of this library are of one, or null.
        if value is not None and len(kinds) == 1:
            _check(kinds[0], value, where)
    elif origin is typing.Literal:
        if value not in arguments:
            raise ConfigError(f"{where} is {value!r}: it must be one of {', '.join(map(str, arguments))}")
    elif origin is tuple and arguments[0] is float:
        for i, item in enumerate(value):
            _check(float, item, f"{where}[{i}]")
    elif hint is float:
        try:
            finite = math.isfinite(value)
        except TypeError:
            finite = False
        if not finite:
            raise ConfigError(f"{where} is {value!r}: it must be a finite number")
