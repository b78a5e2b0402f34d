"""What the client raises."""

from collections.abc import Iterator
from contextlib import contextmanager

from handlers.client.visible import visible
from model_store.local_files import explain


class ClientError(Exception):
    """The service did not do what was asked; the message says why and what helps."""


def system_words(error: OSError) -> str:
    """What the system says of a file, and what helps; of one that is open already it does not say which."""
    return str(explain(error, f"use {visible(str(error.filename or 'a file or the output'))}"))


@contextmanager
def system_errors() -> Iterator[None]:
    """Raise what the system says of a file as ``ClientError``. As a decorator for functions that are no generators."""
    try:
        yield
    except OSError as error:
        raise ClientError(system_words(error)) from error
