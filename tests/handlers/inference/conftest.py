"""A worker's tests use the versions that TorchServe's tests make."""

from tests.handlers.torchserve.conftest import make_image, make_version

__all__ = ["make_image", "make_version"]
