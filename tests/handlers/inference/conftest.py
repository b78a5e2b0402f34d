"""A worker's tests use the versions that TorchServe's tests make."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.handlers.torchserve.conftest import MakeVersion, make_image, make_version
from tests.support.servers.asked_classifier import ask, started

__all__ = ["make_image", "make_version"]

Classify = Callable[..., list[tuple[int, Any]]]


@pytest.fixture(autouse=True)
def _root_level() -> Iterator[None]:
    """A worker quietens its process's root logger."""
    level = logging.getLogger().level
    yield
    logging.getLogger().setLevel(level)


@pytest.fixture
def classify(tmp_path: Path, make_version: MakeVersion) -> Classify:
    """Status and document of each request that a worker of one version is asked; ``changes``: of the version."""

    def run(
        *fields: dict[str, Any], headers: dict[str, Any] | None = None, **changes: Any
    ) -> list[tuple[int, dict[str, Any]]]:
        folder = tmp_path / "version"
        return ask(started(make_version(folder, **changes)), *fields, headers=headers)

    return run
