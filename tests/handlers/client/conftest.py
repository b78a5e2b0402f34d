"""The same small server as for the commands."""

from tests.handlers.cli.conftest import serve

__all__ = ["serve"]
