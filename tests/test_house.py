"""The plan of the rooms, as far as a machine can check it: no circles, no crowded folder, one module per name."""

import ast
import functools
import re
import statistics
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("handlers", "lucir_core", "model_store")
MOST_MODULES = 14
MOST_TEST_FILES = 20
LONGEST = 400
LONGEST_FUNCTION = 50
LONGER_FUNCTIONS = {
    "handlers.cli.commands.bench.folder",  # half of it are the options that it takes
    "lucir_core.models.fused.norm_kernels._normalise",  # a program of the GPU, with what it is compiled for
}
MEDIAN = range(80, 181)
SHARED_NAMES = {"__init__", "__main__", "errors"} | {
    *("canary", "evaluate", "launch", "layout", "process", "reports", "status", "versions"),  # the package says of what
    "prune",  # a command has the name of what it calls
}
ONE_PAGE = 80


@functools.cache
def modules() -> dict[str, Path]:
    """Every module of the product by its dotted name; a package by its own."""
    found = {}
    for path in sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


Found = ast.Import | ast.ImportFrom | ast.FunctionDef | ast.AsyncFunctionDef


@functools.cache
def statements(path: Path) -> list[Found]:
    """The imports and the functions of a file, wherever in it they stand."""
    return [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, Found)]


def imports(path: Path, known: dict[str, Path]) -> Iterator[str]:
    """Modules of the product that this file names, under ``TYPE_CHECKING`` and inside functions too."""
    for node in statements(path):
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
    assert {folder: size for folder, size in sizes.items() if size > MOST_MODULES} == {}


def test_what_tests_share_is_not_crowded_either_and_no_room_has_more_tests_than_a_screen() -> None:
    sizes = Counter(path.parent.relative_to(ROOT).as_posix() for path in (ROOT / "tests").rglob("*.py"))
    shared = {folder: size for folder, size in sizes.items() if folder.startswith("tests/support")}
    assert len(shared) > 1
    assert {folder: size for folder, size in shared.items() if size > MOST_MODULES} == {}
    assert {folder: size for folder, size in sizes.items() if size > MOST_TEST_FILES} == {}


def test_a_module_name_says_one_thing() -> None:
    names = Counter(path.stem for path in modules().values())
    assert {name for name, count in names.items() if count > 1} - SHARED_NAMES == set()


def test_files_are_neither_long_nor_crumbs() -> None:
    lengths = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in modules().items()}
    assert {name: length for name, length in lengths.items() if length > LONGEST} == {}
    filled = [length for name, length in lengths.items() if modules()[name].stem != "__init__"]
    assert int(statistics.median(filled)) in MEDIAN


def test_a_function_stays_short() -> None:
    long = {
        f"{name}.{node.name}"
        for name, path in modules().items()
        for node in statements(path)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno >= LONGEST_FUNCTION
    }
    assert long == LONGER_FUNCTIONS


def architecture() -> str:
    return (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")


def table() -> dict[str, str]:
    """The cell "imports" of ARCHITECTURE.md's table, by room."""
    found = re.search(r"## Rooms\n(.*?)\n## ", architecture(), re.DOTALL)
    assert found is not None
    rows = [line.split("|")[1:4] for line in found[1].splitlines() if line.startswith("| `")]
    return {name.rstrip("/"): cell for rooms, _, cell in rows for name in re.findall(r"`([^`]+)`", rooms)}


def named(text: str) -> set[str]:
    return set(re.findall(r"`([^`]+)`", text))


def room(module: str) -> str:
    parts = module.split(".")
    return ".".join(parts[:2] if parts[0] == "handlers" else parts[:1])


def contracts() -> list[dict[str, Any]]:
    config: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return config["tool"]["importlinter"]["contracts"]


def test_the_architecture_is_one_page() -> None:
    assert len(architecture().splitlines()) <= ONE_PAGE


@pytest.mark.parametrize("page", ["ARCHITECTURE.md", "CONTRIBUTING.md", "benchmarks/README.md", "docs/how-it-works.md"])
def test_a_page_about_the_code_names_files_that_exist(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    tops = "|".join(path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith("."))
    linked = {(ROOT / page).parent / name for name in re.findall(r"\]\(([\w./-]+?)(?:#[\w-]*)?\)", text)}
    paths = {ROOT / name for name in re.findall(rf"`((?:{tops})/[\w./-]*)`", text)} | linked
    assert paths
    assert {path for path in paths if not path.exists()} == set()


def test_the_index_of_benchmarks_names_every_page() -> None:
    index = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
    pages = {path.parent.name for path in (ROOT / "benchmarks").glob("*/README.md")}
    assert {name for name in pages if f"({name}/README.md)" not in index} == set()


def test_benchmarks_import_nothing_of_the_tests() -> None:
    files = [path for folder in ("benchmarks", "tools") for path in sorted((ROOT / folder).rglob("*.py"))]
    found = [
        path for path in files if re.search(r"^(from|import) tests\b", path.read_text(encoding="utf-8"), re.MULTILINE)
    ]
    assert found == []


def test_the_table_of_rooms_names_every_room_that_there_is() -> None:
    rooms = {path.parent for path in (ROOT / "handlers").glob("*/__init__.py")} | {ROOT / name for name in PACKAGES[1:]}
    assert {name for name in table() if not (ROOT / name).exists()} == set()
    assert {path.relative_to(ROOT).as_posix() for path in rooms} - table().keys() == set()
    beside = {path.relative_to(ROOT).as_posix() for path in (ROOT / "handlers").glob("*.py")} - {"handlers/__init__.py"}
    assert {path for path in beside if f"`{path}`" not in architecture()} == set()


def test_a_room_imports_only_what_the_table_allows() -> None:
    known = modules()
    rooms = {name.removesuffix(".py").replace("/", "."): cell.partition("never")[0] for name, cell in table().items()}
    beside = {name for name in known if name.count(".") == 1 and known[name].stem != "__init__"} - rooms.keys()
    allowed = {name: named(cell) | beside for name, cell in rooms.items()} | dict.fromkeys(
        beside | {"handlers"}, beside | {"model_store"}
    )
    wrong = [
        (name, other)
        for name, path in known.items()
        for other in imports(path, known)
        if room(other) not in allowed[room(name)] | {room(name)}
    ]
    assert wrong == []


def test_what_the_table_says_is_never_imported_is_what_the_contracts_forbid() -> None:
    never = {
        name.removesuffix(".py").replace("/", "."): named(cell.partition("never")[2])
        for name, cell in table().items()
        if "never" in cell
    }
    forbidden: dict[str, set[str]] = {}
    for contract in contracts():
        for source in contract.get("source_modules", []):
            forbidden.setdefault(source, set()).update(contract["forbidden_modules"])
    assert never == forbidden


def test_every_import_contract_is_about_modules_that_exist() -> None:
    known = modules()
    for contract in contracts():
        containers = contract.get("containers", [])
        assert set(containers) <= known.keys(), contract["name"]
        parts = [part for layer in contract.get("layers", []) for part in re.split(r"[|:]", layer)]
        ours = [*contract.get("source_modules", []), *contract.get("forbidden_modules", []), *parts]
        for name in (one.strip(" ()") for one in ours):
            places = {name, *(f"{container}.{name}" for container in containers)}
            outside = name in contract.get("forbidden_modules", []) and name.partition(".")[0] not in PACKAGES
            assert outside or places & known.keys(), (contract["name"], name)
