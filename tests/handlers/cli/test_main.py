"""The command line as a whole: help, exit statuses, messages without tracebacks."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from handlers.cli.main import app
from handlers.settings import Settings
from handlers.stack.ports import free_ports
from tests.handlers.cli.conftest import Run, refusal


def commands(command: Any, *words: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command that does something, with its words."""
    if hasattr(command, "commands"):
        for name, inner in command.commands.items():
            yield from commands(inner, *words, name)
    else:
        yield words, command


COMMANDS = dict(commands(get_command(app)))


def test_help_names_every_command(lucir_process: Run) -> None:
    answer = lucir_process("--help")
    assert answer.returncode == 0
    assert all(f" {words[0]} " in answer.stdout for words in COMMANDS)


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_has_help_with_an_example_that_it_understands(words: tuple[str, ...], lucir: Run) -> None:
    answer = lucir(*words, "--help")
    assert answer.returncode == 0
    assert f"Example: lucir {' '.join(words)}" in answer.stdout
    (example,) = re.findall(r"Example: lucir (.*?)(?:  |$)", COMMANDS[words].help, re.MULTILINE)
    given = shlex.split(example)
    assert tuple(given[: len(words)]) == words
    COMMANDS[words].make_context(words[-1], given[len(words) :])  # raises for an option or a value that is unknown


def test_the_release_is_told(lucir: Run) -> None:
    answer = lucir("--version")
    assert (answer.returncode, answer.stdout) == (0, f"lucir {version('lucir')}\n")


NO_DEFAULT = {"--class", "--html", "--set"}
"""Options that do nothing where they are not given."""


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help_shows_the_default_of_every_option_that_has_one(words: tuple[str, ...], lucir: Run) -> None:
    rows = re.split(r"^│ (?:\* )? {0,3}(?=--)", lucir(*words, "--help").stdout, flags=re.MULTILINE)
    shown = {row.split()[0]: " ".join(row.replace("│", " ").split()) for row in rows}
    for option in COMMANDS[words].params:
        name = option.opts[0]
        if option.param_type_name == "option" and not (option.is_flag or option.required or name in NO_DEFAULT):
            text = option.show_default if isinstance(option.show_default, str) else str(option.default)
            assert f"[default: ({text})]" in shown[name] or f"[default: {text}]" in shown[name], shown[name]


SETTINGS = {
    "--data": "data",
    "--port": "serving.port",
    "--metrics-port": "serving.metrics_port",
    "--host": "serving.host",
    "--updater-port": "updater.port",
    "--follower-port": "follower.port",
    "--preset": "learning.preset",
    "--minio-port": "minio.port",
}


@pytest.mark.parametrize("command", ["up", "follow"])
def test_defaults_that_help_shows_are_those_of_the_settings(command: str) -> None:
    shown = {option.opts[0]: option.show_default for option in COMMANDS[(command,)].params}
    for name in SETTINGS.keys() & shown.keys():
        assert shown[name] == str(attrgetter(SETTINGS[name])(Settings())), name


LEARNING = {"torch", "onnxruntime", "numpy", "PIL", "sklearn", "matplotlib"}
SERVING = {"httpx", "minio", "starlette", "uvicorn", "prometheus_client"}


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("handlers.cli.main", LEARNING | SERVING | {"pydantic", "yaml"}),
        ("handlers.cli.foreground", LEARNING | SERVING),  # what `lucir up` reads before it starts anything
        ("handlers.server.__main__", LEARNING | SERVING),  # and the server, before it starts its model processes
    ],
)
def test_what_somebody_waits_for_imports_nothing_heavy(module: str, heavy: set[str]) -> None:
    code = f"import sys, {module}; print(sorted({heavy} & set(sys.modules)))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nonsense"], "No such command"),
        (["predict"], "Missing argument"),
        (["rollback", "0"], "greater than or equal to 1"),
        (["up", "--set", "learning.epochs=3"], "unknown setting learning.epochs: did you mean"),
        (["up", "--set", "serving.port"], "write KEY=VALUE"),
        (["up", "--port", "99999"], "setting serving.port:"),
        (["up", "--config", "missing.yaml"], "missing.yaml cannot be read"),
        (["follow"], "name the store to follow: --store"),
        (["up", "--store", "ftp://x"], "store is file:///path or s3://bucket"),
    ],
)
def test_wrong_usage_is_said_in_a_line_with_status_2(arguments: list[str], message: str, lucir: Run) -> None:
    assert message in refusal(lucir(*arguments), 2)


def test_an_unknown_key_in_the_environment_or_the_file_is_an_error(lucir: Run, tmp_path: Path) -> None:
    assert "did you mean LUCIR_STORE?" in lucir("status", LUCIR_STOER="file:///x").stderr
    (tmp_path / "lucir.yaml").write_text("serving: {prot: 1}\n")
    said = refusal(lucir("status", "--config", tmp_path / "lucir.yaml"), 2)
    assert "unknown setting serving.prot: did you mean serving.port?" in said


@pytest.mark.parametrize("arguments", [["status"], ["predict", "image.png"]])
def test_without_a_stack_the_remedy_is_named(arguments: list[str], lucir: Run, tmp_path: Path) -> None:
    (tmp_path / "image.png").write_bytes(b"anything")
    serving, updater = free_ports(2)
    said = refusal(lucir(*arguments, LUCIR_SERVING__PORT=str(serving), LUCIR_UPDATER__PORT=str(updater)))
    assert "no stack answers at http://127.0.0.1:" in said
    assert "`lucir up`" in said
    assert len(said.splitlines()) == 1


def test_up_refuses_a_store_that_cannot_be_written(lucir_process: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    store = (tmp_path / "file" / "x").as_uri()
    said = refusal(lucir_process("up", "--data", tmp_path / "data", "--free-ports", "--store", store))
    assert "the store cannot be used" in said
    assert "--store" in said
    assert not (Settings(data=tmp_path / "data").run_folder / "stack.json").exists()
