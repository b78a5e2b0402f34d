"""The demo asks the same small HTTP server as the commands do."""

from tests.handlers.cli.conftest import serve

__all__ = ["serve"]
