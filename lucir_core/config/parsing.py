"""Mappings (YAML, JSON, overrides) to frozen dataclasses: unknown keys and wrong types are errors that name the key."""

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from lucir_core.config.validation import hints_of
from lucir_core.errors import ConfigError
from lucir_core.registry import nearest_names

T = TypeVar("T")


def from_mapping(
    kind: type[T], values: Mapping[str, Any], where: str = "", branches: Mapping[str, type[Any]] | None = None
) -> T:
    """Build the dataclass `kind`; nested dataclasses come from nested mappings, tuples from lists.

    branches: further dataclasses by key; what is given of them is collected in the field `settings` of `kind`.
    """
    fields = hints_of(kind)  # type: ignore[arg-type]  # a class is hashable
    if branches is not None:
        fields = {name: hint for name, hint in fields.items() if name != "settings"} | dict(branches)
    arguments = {}
    for key, value in values.items():
        if key not in fields:
            raise ConfigError(f"unknown key {where + str(key)!r}: {nearest_names(str(key), fields)}")
        arguments[key] = _convert(fields[key], value, where + key)
    if branches is not None:
        arguments["settings"] = tuple(arguments.pop(name) for name in branches if name in arguments)
    return kind(**arguments)


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """`{"augment.flip": False}` as `{"augment": {"flip": False}}`; nested mappings stay as they are."""
    result: dict[str, Any] = {}
    for key, value in values.items():
        head, _, rest = str(key).partition(".")
        if rest:
            value = {rest: value}
        if isinstance(value, Mapping):
            known = result.get(head)
            result[head] = merged(known if isinstance(known, dict) else {}, nested(value))
        else:
            result[head] = value
    return result


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with `changes` laid over it, branch by branch."""
    result = dict(base)
    for key, value in changes.items():
        known = result.get(key)
        both = isinstance(value, Mapping) and isinstance(known, Mapping)
        result[key] = merged(known, value) if both else value  # type: ignore[arg-type]  # `both` proves the type
    return result


def _convert(hint: Any, value: Any, where: str) -> Any:
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return _convert_optional(hint, value, where)
    if dataclasses.is_dataclass(hint):
        if isinstance(value, Mapping):
            return from_mapping(typing.cast("type[Any]", hint), value, where + ".")
        raise _wrong(where, value, "a mapping of its keys")
    if origin is tuple:
        return _convert_tuple(hint, value, where)
    if origin is typing.Literal:
        choices = typing.get_args(hint)
        if value not in choices:
            raise _wrong(where, value, f"one of {', '.join(map(str, choices))}")
        return value
    return _convert_plain(hint, value, where)


def _convert_optional(hint: Any, value: Any, where: str) -> Any:
    if value is None:
        return None
    (inner,) = [argument for argument in typing.get_args(hint) if argument is not type(None)]
    return _convert(inner, value, where)


def _convert_tuple(hint: Any, value: Any, where: str) -> tuple[Any, ...]:
    items = typing.get_args(hint)
    if not isinstance(value, (list, tuple)):
        raise _wrong(where, value, "a list")
    if items[-1] is Ellipsis:
        return tuple(_convert(items[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    if len(items) != len(value):
        raise _wrong(where, value, f"a list of {len(items)} values")
    return tuple(_convert(kind, item, f"{where}[{i}]") for i, (kind, item) in enumerate(zip(items, value, strict=True)))


def _convert_plain(hint: Any, value: Any, where: str) -> Any:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if hint is float and is_number:
        return float(value)
    if hint is float and isinstance(value, str):
        # YAML reads 5e-4 (without a dot) as text.
        try:
            return float(value)
        except ValueError:
            raise _wrong(where, value, "a number") from None
    if hint is int and is_number and float(value).is_integer():
        return int(value)
    if hint in (bool, str) and isinstance(value, hint):
        return value
    raise _wrong(where, value, {int: "a whole number", float: "a number", bool: "true or false"}.get(hint, "text"))


def _wrong(where: str, value: Any, wanted: str) -> ConfigError:
    return ConfigError(f"{where} is {value!r}: it must be {wanted}")
