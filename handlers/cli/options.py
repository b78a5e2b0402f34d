"""Options that several commands share, and how they become settings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from handlers.cli.errors import USAGE, CommandError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from handlers.settings import Settings

Data = Annotated[
    Path | None,
    typer.Option("--data", help="Folder of the stack.  [default: lucir-data]", show_default=False, metavar="DIR"),
]
Store = Annotated[
    str | None,
    typer.Option(help="file:///path or s3://bucket.  [default: the folder 'store' in --data]", show_default=False),
]
Config = Annotated[
    Path | None,
    typer.Option("--config", help="YAML file with settings.", show_default=False, metavar="FILE"),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]


def settings_from(config: Path | None, values: Mapping[str, Any]) -> Settings:
    """Settings with the command line's ``values`` by dotted key; None means not given. Raises ``SettingsError``."""
    from handlers.settings import load_settings

    return load_settings(config, nested(values))


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """``{"serving.port": 1}`` as ``{"serving": {"port": 1}}``, without the values that are None."""
    tree: dict[str, Any] = {}
    for key, value in values.items():
        if value is None:
            continue
        *branches, leaf = key.split(".")
        branch = tree
        for name in branches:
            branch = branch.setdefault(name, {})
            if not isinstance(branch, dict):
                raise CommandError(f"--set {key}: {name} has a value already", USAGE)
        branch[leaf] = value
    return tree


def assignments(texts: Sequence[str]) -> dict[str, Any]:
    """``KEY=VALUE`` texts by dotted key; values are read as YAML, so that ``3``, ``true`` and ``[1, 2]`` are typed."""
    import yaml

    values: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not all(key.split(".")):
            raise CommandError(f"--set {text}: write KEY=VALUE, for example --set learning.overrides.epochs=20", USAGE)
        try:
            values[key] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise CommandError(f"--set {text}: the value is no YAML value", USAGE) from None
    return values


def environment(settings: Settings, values: Mapping[str, Any]) -> dict[str, str]:
    """The variables that give child processes the command line's ``values``, in the tree's own form of them."""
    import json

    from handlers.settings import ENVIRONMENT_PREFIX

    resolved = settings.model_dump(mode="json")
    variables = {"data": str(settings.data.absolute())}
    for key, value in values.items():
        if value is None or key == "data":
            continue
        path = key.split(".")
        path = path[: path.index("overrides") + 1] if "overrides" in path else path
        leaf: Any = resolved
        for name in path:
            leaf = leaf[name]
        variables["__".join(path)] = leaf if isinstance(leaf, str) else json.dumps(leaf)
    return {ENVIRONMENT_PREFIX + key.upper(): value for key, value in variables.items()}
