"""What the child processes of a stack find in their environment, whatever this one was started with.

Libraries keep caches, identities and temporary files wherever HOME and TMPDIR lead; the data folder is where everything
of a stack belongs. And a locale that knows no UTF-8 (``LC_ALL=C``) cannot spell the paths of people. A secret reaches
those processes only that have a use for it.
"""

import errno
import os
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final

from handlers.settings import ENVIRONMENT_PREFIX, Settings, SettingsError, secret_keys

_LONGEST_TEMPORARY: Final = 60
"""Bytes of a path below which libraries make sockets, whose paths may have 107."""
_ELSEWHERE: Final = ("XDG_", "LC_")
"""Variables that would lead out of HOME again, or name another locale."""


def child_environment(settings: Settings) -> dict[str, str]:
    """This process's environment with UTF-8 everywhere, and HOME and temporary files in the data folder."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_ELSEWHERE)}
    home = settings.run_folder / "home"
    changed = {
        "PYTHONUTF8": "1",
        "LC_ALL": "C.UTF-8",
        "HOME": str(home),
        "TORCHINDUCTOR_CACHE_DIR": str(home / ".cache" / "torchinductor"),  # else a folder beside temporary files
    }
    temporary = temporary_folder(settings)
    if temporary is not None:
        changed["TMPDIR"] = str(temporary)
    weights = _weights_of_torch()
    if weights is not None:
        changed["TORCH_HOME"] = str(weights)
    return {**kept, **changed}


def make_folder(folder: Path) -> None:
    """Make a folder of the data folder. Raises ``SettingsError`` where this user cannot, or cannot write in it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise SettingsError(
            f"the folder {folder} cannot be written ({error.strerror}): give this user the right to, "
            "or name another data folder with LUCIR_DATA"
        ) from error


def without_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """For a process that reads no settings: what it is told has other variables, and no secret is among them."""
    return {name: value for name, value in environment.items() if not name.upper().startswith(ENVIRONMENT_PREFIX)}


def with_secrets_of(branches: Collection[str], environment: Mapping[str, str]) -> dict[str, str]:
    """For a process that reads settings: without the other ``branches`` that hold secrets, which it has no use for."""
    hidden = {key.split(".")[0] for key in secret_keys()} - set(branches)
    names = {ENVIRONMENT_PREFIX + branch.upper() for branch in hidden}
    return {name: value for name, value in environment.items() if name.upper().split("__")[0] not in names}


def temporary_folder(settings: Settings) -> Path | None:
    """Where temporary files of the children go; None: the system's place, for the path would be too long."""
    folder = settings.run_folder / "tmp"
    return folder if len(os.fsencode(folder)) <= _LONGEST_TEMPORARY else None


def prepare_folders(settings: Settings) -> None:
    """Make the folders that ``child_environment`` names; temporary files of an earlier stack go."""
    (settings.run_folder / "home").mkdir(parents=True, exist_ok=True)
    temporary = temporary_folder(settings)
    if temporary is not None:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True, exist_ok=True)


def _weights_of_torch() -> Path | None:
    """Where torchvision's weights lie that this user has fetched before: they need not be fetched again."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = Path(os.environ.get("TORCH_HOME") or cache / "torch")
    return folder if folder.is_dir() else None
