"""A researcher's own module, whose methods register themselves when it is imported."""

import sys
from importlib import import_module
from pathlib import Path

from handlers.cli.errors import USAGE, CommandError


def import_own(name: str) -> None:
    """Import what ``--import`` names, installed or in the folder where the command runs; nothing for an empty name.

    Raises ``CommandError``.
    """
    if not name:
        return
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)  # at the end: a file there takes the place of no package
    try:
        import_module(name)
    except Exception as error:  # whatever a researcher's module does
        if isinstance(error, ModuleNotFoundError) and error.name is not None and name.startswith(error.name):
            raise CommandError(
                f"--import {name}: no such module is installed or lies in {here}; name it as Python imports it, "
                "my_method for my_method.py",
                USAGE,
            ) from error
        raise CommandError(f"--import {name}: the module fails ({type(error).__name__}: {error})", USAGE) from error
