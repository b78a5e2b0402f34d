"""Standard output and error of a command: whatever they can hold, wherever they lead."""

import os
import sys
from contextlib import suppress
from io import TextIOWrapper
from pathlib import Path

from handlers.cli.errors import FAILED


def prepare() -> None:
    """Nothing that is written fails for its letters: what the encoding of standard output lacks is shown as an escape.

    A stream that the caller has closed takes everything and keeps nothing.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 (until the process ends)
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def flush() -> None:
    """Write what is still to be written. Raises ``OSError``; of a reader that has gone only the status tells."""
    try:
        sys.stdout.flush()
    except OSError as error:
        _forget()
        if isinstance(error, BrokenPipeError):
            sys.exit(FAILED)
        raise


def say(message: str) -> None:
    """Why the command failed, on standard error; nobody may be there to read it."""
    from handlers.client.visible import visible

    with suppress(OSError):
        sys.stderr.write("\n".join(visible(line) for line in f"lucir: {message}".splitlines()) + "\n")


def _forget() -> None:
    """What could not be written is not tried again at the end of the process, which would complain in its own way."""
    with suppress(OSError):  # a stream without a descriptor
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
