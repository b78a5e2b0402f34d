"""Settings as a command line gives them: ``KEY=VALUE`` texts, dotted keys, variables for child processes."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from handlers.settings import ENVIRONMENT_PREFIX, Settings, SettingsError, secret_keys


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """``{"serving.port": 1}`` as ``{"serving": {"port": 1}}``, without what is None. Raises ``SettingsError``."""
    tree: dict[str, Any] = {}
    for key, value in values.items():
        if value is None:
            continue
        *branches, leaf = key.split(".")
        branch = tree
        for name in branches:
            branch = branch.setdefault(name, {})
            if not isinstance(branch, dict):
                raise SettingsError(f"--set {key}: {name} has a value already")
        branch[leaf] = value
    return tree


def assignments(texts: Sequence[str]) -> dict[str, Any]:
    """``KEY=VALUE`` texts by dotted key; values are read as YAML, so that ``3``, ``true`` and ``[1, 2]`` are typed."""
    values: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not all(key.split(".")):
            raise SettingsError(f"--set {text}: write KEY=VALUE, for example --set learning.overrides.epochs=20")
        if key in secret_keys():
            raise _shown(key)
        try:
            values[key] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise SettingsError(
                f"--set {text}: the value is not YAML: put text with special characters in quotes"
            ) from None
    return values


def environment(settings: Settings, values: Mapping[str, Any]) -> dict[str, str]:
    """The variables that give child processes the command line's ``values``, in the tree's own form of them.

    Raises ``SettingsError`` for a secret among them: its settings know a secret only as asterisks.
    """
    resolved = settings.model_dump(mode="json")
    variables = {"data": str(settings.data.absolute())}
    for key, value in leaves(values):
        if value is None or key == "data":
            continue
        if key in secret_keys():
            raise _shown(key)
        path = key.split(".")
        path = path[: path.index("overrides") + 1] if "overrides" in path else path
        leaf: Any = resolved
        for name in path:
            leaf = leaf[name]
        variables["__".join(path)] = leaf if isinstance(leaf, str) else json.dumps(leaf)
    return {ENVIRONMENT_PREFIX + key.upper(): value for key, value in variables.items()}


def leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every value by its whole dotted key, also those of ``--set serving={port: 1}``."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _shown(key: str) -> SettingsError:
    variable = ENVIRONMENT_PREFIX + key.upper().replace(".", "__")
    return SettingsError(
        f"--set {key}: a secret on the command line can be read by everybody on this machine, in the list of "
        f"processes: write it into a file and name that in {key}_file, or set {variable} in the environment"
    )
