"""The plan of the rooms, as far as a machine can check it: no circles, no crowded folder, one module per name."""

import ast
import re
import statistics
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("handlers", "lucir_core", "model_store")
MOST_MODULES = 14
LONGEST = 400
MEDIAN = range(80, 181)
SHARED_NAMES = {"__init__", "__main__", "errors"} | {
    *("canary", "evaluate", "launch", "layout", "process", "reports", "status", "versions"),  # the package says of what
    "prune",  # a command has the name of what it calls
}
KNOWN_CROWDED = {"handlers/stack": 15}
KNOWN_NAMESAKES = {"connection", "finetune", "measure"}
"""Exceptions that are left: these two may only shrink."""


def modules() -> dict[str, Path]:
    """Every module of the product by its dotted name; a package by its own."""
    found = {}
    for path in sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(path: Path, known: dict[str, Path]) -> Iterator[str]:
    """Modules of the product that this file names, under ``TYPE_CHECKING`` and inside functions too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module in known:
            inside = {f"{node.module}.{alias.name}" for alias in node.names} & known.keys()
            yield from inside or {node.module}


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Strongly connected components of more than one module (Tarjan)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in sorted(graph[node]):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            at = stack.index(node)
            if len(stack) - at > 1:
                found.append(sorted(stack[at:]))
            del stack[at:]

    for node in graph:
        if node not in index:
            visit(node)
    return found


def test_circles_are_found() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}) == [["b", "c"]]


def test_no_module_imports_itself_by_a_detour() -> None:
    known = modules()
    assert circles({name: set(imports(path, known)) - {name} for name, path in known.items()}) == []


def test_no_folder_is_crowded() -> None:
    sizes = Counter(path.parent.relative_to(ROOT).as_posix() for path in modules().values() if path.stem != "__init__")
    assert {folder: size for folder, size in sizes.items() if size > KNOWN_CROWDED.get(folder, MOST_MODULES)} == {}


def test_a_module_name_says_one_thing() -> None:
    names = Counter(path.stem for path in modules().values())
    assert {name for name, count in names.items() if count > 1} - SHARED_NAMES <= KNOWN_NAMESAKES


def test_files_are_neither_long_nor_crumbs() -> None:
    lengths = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in modules().items()}
    assert {name: length for name, length in lengths.items() if length > LONGEST} == {}
    filled = [length for name, length in lengths.items() if modules()[name].stem != "__init__"]
    assert int(statistics.median(filled)) in MEDIAN


def test_the_table_of_rooms_names_every_room_that_there_is() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    table = re.search(r"## Rooms\n(.*?)\n## ", text, re.DOTALL)
    assert table is not None
    rows = [line.split("|")[1].strip() for line in table[1].splitlines() if line.startswith("| `")]
    named = {name.rstrip("/") for row in rows for name in re.findall(r"`([^`]+)`", row)}
    assert {name for name in named if not (ROOT / name).exists()} == set()
    rooms = {path.parent for path in (ROOT / "handlers").glob("*/__init__.py")} | {ROOT / name for name in PACKAGES[1:]}
    assert {room.relative_to(ROOT).as_posix() for room in rooms} - named == set()


def test_every_import_contract_is_about_modules_that_exist() -> None:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    known = modules()
    for contract in config["contracts"]:
        containers = contract.get("containers", [])
        assert set(containers) <= known.keys(), contract["name"]
        parts = [part for layer in contract.get("layers", []) for part in re.split(r"[|:]", layer)]
        ours = [*contract.get("source_modules", []), *contract.get("forbidden_modules", []), *parts]
        for name in (one.strip(" ()") for one in ours):
            places = {name, *(f"{container}.{name}" for container in containers)}
            outside = name in contract.get("forbidden_modules", []) and name.partition(".")[0] not in PACKAGES
            assert outside or places & known.keys(), (contract["name"], name)
