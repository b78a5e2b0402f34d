"""What a directory store keeps for itself below ``.lucir/``: files on their way into place, and two locks."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from model_store.keys import RESERVED
from model_store.local_files import make_folders

STALE_SECONDS = 24 * 3600.0
"""A temporary file older than this belongs to a process that died."""


class Staging:
    """The folder ``.lucir`` of the store at ``root``: on the same filesystem, so that a rename is atomic."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._temporary = root / RESERVED / "tmp"
        self._lock = root / RESERVED / "lock"
        self._folders = root / RESERVED / "folders"

    @contextmanager
    def temporary(self) -> Iterator[tuple[BinaryIO, Path]]:
        """An empty file and its path. What still has this path in the end is removed."""
        make_folders(self._temporary, below=self._root)
        path = self._temporary / os.urandom(16).hex()
        try:
            with path.open("xb") as file:
                yield file, path
        finally:
            path.unlink(missing_ok=True)

    @contextmanager
    def locked(self, *, exclusive: bool) -> Iterator[None]:
        """Hold the lock against other threads and processes: for a rename, never while data is written."""
        with _flock(self._lock, exclusive=exclusive):
            yield

    @contextmanager
    def folders(self, *, exclusive: bool) -> Iterator[None]:
        """Hold the lock of those who make folders and put something into them, against those who remove empty ones.

        It is taken before ``locked``, where both are.
        """
        make_folders(self._folders.parent, below=self._root)
        with _flock(self._folders, exclusive=exclusive):
            yield

    def remove_stale(self) -> None:
        """Remove the temporary files of processes that died."""
        with os.scandir(self._temporary) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    if time.time() - entry.stat(follow_symlinks=False).st_mtime > STALE_SECONDS:
                        Path(entry.path).unlink()


@contextmanager
def _flock(path: Path, *, exclusive: bool) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)
