"""A worker's tests use the versions that TorchServe's tests make."""

import logging
from collections.abc import Iterator

import pytest

from tests.handlers.torchserve.conftest import make_image, make_version

__all__ = ["make_image", "make_version"]


@pytest.fixture(autouse=True)
def _root_level() -> Iterator[None]:
    """A worker quietens its process's root logger."""
    level = logging.getLogger().level
    yield
    logging.getLogger().setLevel(level)
