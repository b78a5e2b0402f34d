"""What children of a stack are given, whatever its own environment is."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest

from handlers.child_environment import child_environment, prepare_folders, temporary_folder
from handlers.inference.workers.worker import WorkerOptions
from handlers.server.frames import LogWords, model_environment
from handlers.settings import Settings, secret_keys
from handlers.stack.service_list import environment_with, follower_service, serving_service, updater_service
from handlers.torchserve.launch import prepare_launch
from handlers.updater.training.process import Child
from tests.support.waiting import wait_for

MODULES = ("handlers.inference.version_model", "lucir_core.export.onnx_export")


def test_home_and_temporary_files_lie_in_the_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/elsewhere")
    monkeypatch.setenv("LC_CTYPE", "de_DE.ISO-8859-1")
    tree = Settings(data=tmp_path)
    for environment in (child_environment(tree), environment_with(tree, {}), prepare_launch(tree).environment):
        assert Path(environment["HOME"]).is_relative_to(tmp_path)
        assert "XDG_CACHE_HOME" not in environment
        assert (environment["LC_ALL"], environment["PYTHONUTF8"]) == ("C.UTF-8", "1")
        assert "LC_CTYPE" not in environment


def test_a_short_data_folder_has_its_own_temporary_files() -> None:
    """Sockets of libraries lie there too, and their paths must be short."""
    assert temporary_folder(Settings(data=Path("/data"))) == Path("/data/run/tmp")
    assert temporary_folder(Settings(data=Path("/" + 80 * "d"))) is None


def test_temporary_files_of_an_earlier_stack_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("handlers.child_environment._LONGEST_TEMPORARY", 1000)
    tree = Settings(data=tmp_path)
    left = tmp_path / "run" / "tmp" / "left"
    left.parent.mkdir(parents=True)
    left.touch()
    prepare_folders(tree)
    assert left.parent.is_dir()
    assert not left.exists()


def test_weights_that_were_fetched_before_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    monkeypatch.delenv("TORCH_HOME", raising=False)
    assert "TORCH_HOME" not in child_environment(Settings(data=tmp_path))
    (cache / "torch").mkdir(parents=True)
    assert child_environment(Settings(data=tmp_path))["TORCH_HOME"] == str(cache / "torch")


def test_a_process_is_told_only_the_secrets_that_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In whatever form they stand in the environment."""
    _secrets(monkeypatch)
    tree, changes = Settings(data=tmp_path), {"LUCIR_SERVING__PORT": "1234"}
    uvicorn = tree.model_copy(update={"serving": tree.serving.model_copy(update={"engine": "uvicorn"})})
    server = serving_service(uvicorn, changes)
    told = {
        "torchserve": serving_service(tree, changes).environment,
        "torchserve alone": prepare_launch(tree).environment,
        "a model process": model_environment(WorkerOptions(), LogWords("INFO", "text"), None),
        "server": server.environment,
        "follower": follower_service(tree, environment_with(tree, changes)).environment,
        "updater": updater_service(tree, environment_with(tree, changes)).environment,
    }
    found = {name: {key for key in secret_keys() if f"hush-{key}" in str(told[name])} for name in told}
    assert found == {
        "torchserve": set(),
        "torchserve alone": set(),
        "a model process": set(),
        "server": {"serving.api_key"},
        "follower": {"serving.api_key", "s3.access_key", "s3.secret_key"},
        "updater": set(secret_keys()),
    }
    assert server.environment["LUCIR_SERVING__PORT"] == "1234"


def test_the_learning_child_is_told_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    _secrets(monkeypatch)
    before, child = set(psutil.Process().children()), Child()
    child.warm()
    try:
        (process,) = set(psutil.Process().children()) - before
        environment = wait_for(lambda: "PYTHONUNBUFFERED" in (told := process.environ()) and told)
    finally:
        child.end()
    assert "hush" not in str(environment)


def _secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each secret in three forms, whose values can be told from each other."""
    for key in secret_keys():
        branch, name = key.split(".")
        monkeypatch.setenv(f"LUCIR_{key.upper().replace('.', '__')}", f"hush-{key}")
        monkeypatch.setenv(f"lucir_{key.replace('.', '__')}", f"hush-{key}")
        monkeypatch.setenv(f"LUCIR_{branch.upper()}", f"{{{name}: hush-{key}}}")


@pytest.mark.slow
@pytest.mark.parametrize("module", MODULES)
def test_onnx_runtime_keeps_no_identity_of_this_machine(module: str, tmp_path: Path) -> None:
    """It would write one below HOME, in each process that imports it, and send it away."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ORT_", "XDG_", "CI"))}
    subprocess.run([sys.executable, "-c", f"import {module}"], env={**kept, "HOME": str(tmp_path)}, check=True)
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.skipif(find_spec("openvino") is None, reason="no OpenVINO: pip install 'lucir[openvino]'")
def test_openvino_tells_nobody_that_it_was_imported(tmp_path: Path) -> None:
    """It would, from a process that it forks for that."""
    script = (
        "import sys; forks = []\n"
        "sys.addaudithook(lambda event, _: forks.append(event) if event == 'os.fork' else None)\n"
        "from handlers.inference.sessions.openvino_session import why_no_bfloat16; why_no_bfloat16()\n"
        "print('openvino' in sys.modules, sys.modules['openvino_telemetry'], forks)"
    )
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "CI"))}
    environment = {**kept, "HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, check=True)
    assert done.stdout == b"True None []\n"
    assert list(tmp_path.rglob("*")) == []


def test_whoever_wants_to_be_counted_may(tmp_path: Path) -> None:
    script = "import os, handlers, lucir_core; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    environment = {**os.environ, "ORT_DISABLE_TELEMETRY": "0"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, check=True)
    assert done.stdout == b"0\n"
