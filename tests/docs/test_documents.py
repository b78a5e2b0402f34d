"""Every link in the documents leads somewhere, and every command in them is one that `lucir` understands."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import typer

from handlers.cli.main import app

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    [*(ROOT / "docs").glob("*.md"), ROOT / "README.md", ROOT / "deploy" / "README.md", ROOT / "k8s" / "README.md"]
)
NAMES = [str(path.relative_to(ROOT)) for path in DOCUMENTS]
LINK = re.compile(r"\]\((?!https?:|mailto:)([^)#\s]*)(?:#([^)\s]+))?\)")
BLOCK = re.compile(r"^[ ]*```(?:console|sh)\n(.*?)^[ ]*```", re.MULTILINE | re.DOTALL)


def anchors(path: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", NAMES)
def test_every_link_leads_somewhere(name: str) -> None:
    document = ROOT / name
    for target, anchor in LINK.findall(document.read_text(encoding="utf-8")):
        path = (document.parent / target).resolve() if target else document
        assert path.exists(), f"{name}: {target}"
        if anchor and path.suffix == ".md":
            assert anchor in anchors(path), f"{name}: {target}#{anchor}"


def commands(text: str) -> Iterator[list[str]]:
    """Calls of ``lucir`` in blocks of shell, without what the shell does with them."""
    known = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    for block in BLOCK.findall(text):
        for line in block.splitlines():
            bare = line.split(" #")[0].split("| docker")[0]
            for found in re.finditer(r"(?:^|[ /$])lucir (?!http)((?:[a-z]+).*)", bare):
                if found[1].split()[0] in known:
                    yield shlex.split(found[1])


@pytest.mark.parametrize("name", NAMES)
def test_every_command_is_understood(name: str) -> None:
    for words in commands((ROOT / name).read_text(encoding="utf-8")):
        command: click.Command = typer.main.get_command(app)
        context = click.Context(command, info_name="lucir")
        while isinstance(command, click.Group):
            _, found, words = command.resolve_command(context, words)
            assert found is not None
            command = found
        command.make_context(command.name, list(words))


def test_there_are_commands_to_try() -> None:
    found = [words[0] for path in DOCUMENTS for words in commands(path.read_text(encoding="utf-8"))]
    assert {"drop", "predict", "backup", "restore", "export", "doctor", "class"} <= set(found)
