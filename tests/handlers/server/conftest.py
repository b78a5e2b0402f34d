"""Both engines are tested with the versions, images and stacks of TorchServe's tests."""

import pytest

from tests.handlers.torchserve.conftest import begun, make_image, make_version, new_stack, reconciler, stack

__all__ = ["begun", "make_image", "make_version", "new_stack", "reconciler", "stack"]


@pytest.fixture(params=["torchserve", "uvicorn"])
def engine(request: pytest.FixtureRequest) -> str:
    """Each test of a stack runs with each."""
    return str(request.param)
