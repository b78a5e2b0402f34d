"""Text files have their encoding in the code: in another locale they would be read, and written, as something else.

ruff's PLW1514 asks the same, but only where it knows that something is a path.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("handlers", "lucir_core", "model_store", "tools", "benchmarks")
NOT_FILES = {"Image", "os", "direct", "tarfile", "zipfile", "webbrowser"}
"""Whose ``open`` opens something else."""
MODES = frozenset("rwaxt+")


def unspecified(source: str) -> Iterator[tuple[ast.Call, str]]:
    """Every call, with its name, that reads or writes text in the locale's encoding."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call) or any(keyword.arg in {"encoding", None} for keyword in node.keywords):
            continue
        named = {keyword.arg: keyword.value for keyword in node.keywords}
        owner = node.func.value if isinstance(node.func, ast.Attribute) else None
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        text = named.get("text")
        if isinstance(text, ast.Constant) and text.value is True:
            yield node, f"{name}(text=True)"
        elif name == "read_text" or (name == "write_text" and len(node.args) == 1):
            yield node, name
        elif name == "fdopen" or (name == "open" and getattr(owner, "id", "") not in NOT_FILES):
            place = 1 if owner is None or name == "fdopen" else 0
            mode = named.get("mode") or (node.args[place] if len(node.args) > place else ast.Constant("r"))
            if isinstance(mode, ast.Constant) and set(str(mode.value)) <= MODES:
                yield node, name


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_text_file_has_its_encoding(folder: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno} {what}"
        for path in sorted((ROOT / folder).rglob("*.py"))
        for node, what in unspecified(path.read_text(encoding="utf-8"))
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("source", "count"),
    [
        ("path.read_text()", 1),
        ("path.read_text(encoding='utf-8')", 0),
        ("path.write_text(words)", 1),
        ("path.open()", 1),
        ("path.open('a')", 1),
        ("path.open('rb')", 0),
        ("open(path, 'w')", 1),
        ("os.fdopen(number, 'w')", 1),
        ("os.fdopen(number, 'rb')", 0),
        ("os.open(path, os.O_RDONLY)", 0),
        ("Image.open(file)", 0),
        ("run(words, text=True)", 1),
    ],
)
def test_what_counts(source: str, count: int) -> None:
    assert len(list(unspecified(source))) == count
