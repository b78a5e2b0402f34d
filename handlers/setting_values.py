"""Where settings come from: the command line over the environment over a YAML file over the defaults.

The rules are the same for all three. A key that nobody knows is an error that names the nearest one. A value is YAML,
where the setting is a text the text as it stands. Branches are joined key by key, so that ``serving: {port: 1}`` leaves
the other settings of ``serving`` alone, and ``null`` takes back what a weaker source says. An error names the key, the
value and the place that it came from.
"""

import difflib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from pydantic import ValidationError

from handlers.settings import (
    CONFIG_VARIABLE,
    ENVIRONMENT_PREFIX,
    Key,
    Settings,
    SettingsError,
    fields,
    is_mapping,
    is_text,
    secret_keys,
)

_NO_TEXT = ("", "null")
"""What takes a text back, for nobody means them."""
_LONGEST = 100
"""Characters of a wrong value that a message shows."""


class _Given(NamedTuple):
    value: Any
    place: str


def load_settings(config: Path | None = None, overrides: Mapping[str, Any] | None = None) -> Settings:
    """Read every source, and change none: the next call reads them again.

    config: a YAML file; else the one that ``LUCIR_CONFIG`` names, if it does. overrides: the command line's values as a
    nested mapping, e.g. ``{"serving": {"port": 1}}``.

    Raises ``SettingsError`` for an unknown key, a wrong value, or a file that cannot be read.
    """
    given: dict[Key, _Given] = {}
    named = os.environ.get(CONFIG_VARIABLE)
    file = config or (Path(named) if named else None)
    if file is not None:
        _take(given, (), _read_file(file), f"in {file}")
    for path, name, text in _variables(os.environ):
        _take(given, path, _typed(path, text, f"{name} in the environment"), f"in the environment as {name}")
    _take(given, (), dict(overrides or {}), "given as an option")
    try:
        return Settings.model_validate(_tree(given))
    except ValidationError as error:
        problems = error.errors(include_url=False)
        raise SettingsError("\n".join(_explain(problem, given) for problem in problems)) from None


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """``{"serving.port": 1}`` as ``{"serving": {"port": 1}}``. Raises ``SettingsError`` for a value below a value."""
    tree: dict[str, Any] = {}
    for key, value in _leaves(values):
        *branches, leaf = key.split(".")
        branch = tree
        for name in branches:
            branch = branch.setdefault(name, {})
            if not isinstance(branch, dict):
                raise SettingsError(f"--set {key}: {name} has a value already")
        branch[leaf] = value
    return tree


def assignments(texts: Sequence[str]) -> dict[str, Any]:
    """``KEY=VALUE`` texts by dotted key; values are read as YAML, so that ``3``, ``true`` and ``[1, 2]`` are typed.

    Raises ``SettingsError``, for a secret too: whoever lists the processes of a machine sees their command lines.
    """
    values: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not all(key.split(".")):
            raise SettingsError(f"--set {text}: write KEY=VALUE, for example --set learning.overrides.epochs=20")
        if key in secret_keys():
            raise _shown(key)
        values[key] = _typed(tuple(key.split(".")), value, f"--set {text}")
        for inner, _ in _leaves({key: values[key]}):
            if inner in secret_keys():
                raise _shown(inner)
    return values


def environment(settings: Settings, values: Mapping[str, Any]) -> dict[str, str]:
    """The variables that give child processes the command line's ``values`` by dotted key, as ``settings`` has them.

    Raises ``SettingsError`` for a secret among them: it would be handed on as the asterisks that stand for it.
    """
    resolved = settings.model_dump(mode="json")
    variables: dict[Key, str] = {("data",): str(settings.data.absolute())}
    for key, value in _leaves(values):
        if key in secret_keys():
            raise _shown(key)
        path = tuple(key.split("."))
        path = next((path[:end] for end in range(1, len(path)) if is_mapping(path[:end])), path)
        if path == ("data",):
            continue
        if value is None and path == tuple(key.split(".")):
            variables[path] = "null"
            continue
        leaf: Any = resolved
        for name in path:
            leaf = leaf[name]
        variables[path] = leaf if is_text(path) and leaf is not None else json.dumps(leaf)
    return {_variable(path): value for path, value in variables.items()}


def _variable(path: Key) -> str:
    return ENVIRONMENT_PREFIX + "__".join(path).upper()


def _variables(environment: Mapping[str, str]) -> Iterator[tuple[Key, str, str]]:
    """(path, name, text) of each variable that is a setting, branches before what is in them: the nearest one counts.

    Raises ``SettingsError`` for a name with our prefix that is none.
    """
    found: dict[Key, str] = {}
    for name in environment:
        if not name.upper().startswith(ENVIRONMENT_PREFIX) or name.upper() == CONFIG_VARIABLE:
            continue
        path = tuple(name[len(ENVIRONMENT_PREFIX) :].lower().split("__"))
        if not _known(path):
            raise SettingsError(f"unknown setting {name} in the environment{_nearest(path, _variable)}")
        if path in found:
            raise SettingsError(f"{found[path]} and {name} in the environment are the same setting: unset one of them")
        found[path] = name
    for path in sorted(found, key=len):
        yield path, found[path], environment[found[path]]


def _typed(path: Key, text: str, told: str) -> Any:
    """The value that a text stands for. ``told``: how a message begins. Raises ``SettingsError``."""
    if is_text(path):
        return None if text in _NO_TEXT else text
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        raise SettingsError(f"{told}: the value is not YAML: put text with special characters in quotes") from None


def _read_file(file: Path) -> Mapping[Any, Any]:
    """The mapping in a YAML file. Raises ``SettingsError``."""
    told = f"the configuration file {file}"
    try:
        content = yaml.load(file.read_text(encoding="utf-8-sig"), _UniqueKeys)  # noqa: S506 (it is a SafeLoader)
    except OSError as error:
        raise SettingsError(f"{told} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{told} is not UTF-8 (byte {error.start}): save it as UTF-8") from error
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark is not None else ""
        raise SettingsError(f"{told} is not YAML: {line}{error.problem}{_tab(str(error.problem))}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise SettingsError(f"{told} is not YAML: {str(error).splitlines()[0]}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise SettingsError(f"{told} holds no mapping of settings: write lines such as `serving: {{port: 8080}}`")
    return content


def _tab(problem: str) -> str:
    return "; indent with spaces, not with tabs" if repr("\t") in problem else ""


class _UniqueKeys(yaml.SafeLoader):
    """Of two equal keys YAML would silently take the last."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.MarkedYAMLError(
                        problem=f"the key {key.value} is there twice: join both", problem_mark=key.start_mark
                    )
                seen.add(key.value)
        return node


def _take(given: dict[Key, _Given], path: Key, value: Any, place: str) -> None:
    """Put a value, or every value of a branch, over those that weaker sources gave. Raises ``SettingsError``."""
    key = ".".join(path)
    if path and not _known(path):
        raise SettingsError(f"unknown setting {key}{_nearest(path, '.'.join)} ({place})")
    branch, free = path not in fields() and not _is_free(path), is_mapping(path) or _is_free(path)
    if isinstance(value, Mapping) and (branch or (free and value)):
        for name, inner in value.items():
            _take(given, (*path, str(name)), inner, place)
        return
    for other in [other for other in given if other[: len(path)] == path or path[: len(other)] == other]:
        del given[other]
    if value is None and not _is_free(path):
        return
    if branch:
        raise SettingsError(f"setting {key}: it is a branch, write settings in it, not {_shortly(value)} ({place})")
    given[path] = _Given(value, place)


def _known(path: Key) -> bool:
    """Whether it is a setting, a branch of settings, or a value in a setting that takes any names."""
    return path in fields() or _is_free(path) or any(other[: len(path)] == path for other in fields())


def _is_free(path: Key) -> bool:
    """Whether it stands in a setting that takes any names, as ``learning.overrides`` does."""
    return any(is_mapping(path[:end]) for end in range(1, len(path)))


def _tree(given: Mapping[Key, _Given]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for path, one in given.items():
        branch = tree
        for name in path[:-1]:
            branch = branch.setdefault(name, {})
        branch[path[-1]] = one.value
    return tree


def _leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every value by its whole dotted key, also those of ``--set serving={port: 1}``."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _explain(problem: Mapping[str, Any], given: Mapping[Key, _Given]) -> str:
    """What is wrong with a value, what it is, and where it comes from; a secret is not shown."""
    path = tuple(str(part) for part in problem["loc"])
    key, told = ".".join(path), problem["msg"].removeprefix("Value error, ")
    source = next((given[path[:end]].place for end in range(len(path), 0, -1) if path[:end] in given), "")
    if problem["type"] != "value_error" and key not in secret_keys():
        told += f", not {_shortly(problem['input'])}"
    if is_text(path) and not isinstance(problem["input"], str):
        told += "; put it in quotes"
    return f"setting {key}: {told} ({source})"


def _shortly(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _nearest(path: Key, spell: Callable[[Key], str]) -> str:
    """The known key most like an unknown one: the same name in another branch, else one that is spelt alike."""
    known = {spell(other[:end]): other[:end] for other in fields() for end in range(1, len(other) + 1)}
    same = [name for name, other in known.items() if other[-1] == path[-1]]
    near = difflib.get_close_matches(spell(path), same or known, n=1, cutoff=0.0 if same else 0.5)
    return f": did you mean {near[0]}?" if near else ""


def _shown(key: str) -> SettingsError:
    variable = _variable(tuple(key.split(".")))
    return SettingsError(
        f"--set {key}: a secret on the command line can be read by everybody on this machine, in the list of "
        f"processes: write it into a file and name that in {key}_file, or set {variable} in the environment"
    )
