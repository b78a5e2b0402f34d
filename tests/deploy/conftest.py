"""What the tests of deploy/ and k8s/ share: the files, the settings they lead to, and the programs that judge them."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from handlers.setting_values import load_settings
from handlers.settings import CONFIG_VARIABLE, ENVIRONMENT_PREFIX, Settings

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def root() -> Path:
    """The root of the repository."""
    return ROOT


@pytest.fixture(scope="session")
def program() -> Callable[[str, str], str]:
    """``program(name, package)``: its path; without it the test fails in CI and is skipped elsewhere."""

    def find(name: str, package: str) -> str:
        path = shutil.which(name)
        if path is not None:
            return path
        message = f"{name} is not installed (Debian: apt-get install {package})"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)

    return find


@pytest.fixture(scope="session")
def compose() -> dict[str, Any]:
    """The compose file, with merge keys resolved."""
    return yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())


@pytest.fixture
def container_settings(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path, dict[str, str]], Settings]:
    """``container_settings(file, environment)``: what a container that has just these reads, errors included."""
    for name in list(os.environ):
        if name.startswith(ENVIRONMENT_PREFIX):
            monkeypatch.delenv(name)

    def load(file: Path, environment: dict[str, str]) -> Settings:
        with monkeypatch.context() as context:
            for name, value in {**environment, CONFIG_VARIABLE: str(file)}.items():
                context.setenv(name, value)
            return load_settings()

    return load
