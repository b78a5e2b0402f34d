"""What a serving engine listens on: free ports, and the Unix socket over which it is managed, in a closed folder."""

import hashlib
import os
import stat
import tempfile
from pathlib import Path
from typing import Final

from handlers.settings import Settings
from handlers.web_address import listening_socket, web_address

_LONGEST_SOCKET: Final = 90
"""Bytes of a folder's path: a Unix socket's whole path may have 107, and TorchServe adds file names."""


class LaunchError(RuntimeError):
    """A serving engine cannot be started here; the message says what is missing."""


def check_ports(settings: Settings) -> None:
    """Raise ``LaunchError`` for a port that another process has: in an engine's own words it is hard to recognise."""
    serving = settings.serving
    for name, port in (("PORT", serving.port), ("METRICS_PORT", serving.metrics_port)):
        try:
            listening_socket(serving.host, port).close()
        except OSError as error:
            raise LaunchError(
                f"cannot listen on {web_address(serving.host, port)} ({error.strerror}): "
                f"stop what uses it, or set LUCIR_SERVING__{name}"
            ) from error


def management_socket(settings: Settings) -> Path:
    """Where the serving engine's management API listens.

    Every process with the same settings gets the same answer.
    """
    if settings.serving.management_socket is not None:
        return settings.serving.management_socket.absolute()
    return short_folder(settings) / "management.sock"


def workers_folder(settings: Settings) -> Path:
    """Where the workers of TorchServe have their sockets, and the links that say which version they answer with."""
    return management_socket(settings).with_name("workers")


def short_folder(settings: Settings) -> Path:
    """A folder whose path leaves room for a socket's name: the run folder, or one in a temporary folder."""
    if _is_short(settings.run_folder):
        return settings.run_folder
    digest = hashlib.sha256(os.fsencode(settings.run_folder)).hexdigest()[:16]
    name = f"lucir-{os.getuid()}-{digest}"
    folder = Path(tempfile.gettempdir()) / name
    return folder if _is_short(folder) else Path("/tmp") / name  # noqa: S108 (``private_folder`` makes sure of it)


def _is_short(folder: Path) -> bool:
    return len(os.fsencode(folder)) <= _LONGEST_SOCKET


def private_folder(folder: Path) -> Path:
    """Make ``folder`` and make sure that nobody else can enter it. Raises ``LaunchError``."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    status = folder.lstat()
    if status.st_uid != os.getuid() or not stat.S_ISDIR(status.st_mode):
        raise LaunchError(f"{folder} belongs to somebody else: remove it, or choose another data folder")
    folder.chmod(0o700)
    return folder
