"""Both engines are tested with the versions, images and stacks of TorchServe's tests."""

from tests.handlers.torchserve.conftest import engine, make_image, make_version, new_stack, reconciler, stack

__all__ = ["engine", "make_image", "make_version", "new_stack", "reconciler", "stack"]
