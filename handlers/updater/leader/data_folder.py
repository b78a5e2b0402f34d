"""Which updater this is: a name that its data folder keeps, locked while its process lives."""

import errno
import fcntl
import os
import shutil
import tempfile
import time
import uuid
from pathlib import Path

FILE = "holder"
TEMPORARY = "tmp"
"""Folder of the temporary files of this data folder's updaters, one of its own for each process."""
PATIENCE_SECONDS = 10.0
"""The predecessor of a restarted process may take a moment to die."""


class DataFolderInUseError(OSError):
    """Another updater works in this data folder."""


def own_temporary_folder(folder: Path) -> None:
    """Let temporary files of this process and of its children lie below ``folder``. Raises ``OSError``.

    A process that is killed leaves them behind; the next one that holds ``folder`` removes them. Elsewhere nobody could
    tell whose they are.
    """
    place = folder / TEMPORARY
    place.mkdir(parents=True, exist_ok=True)
    tempfile.tempdir = os.environ["TMPDIR"] = tempfile.mkdtemp(dir=place)


class Holder:
    """The name, locked from construction to ``close`` or the end of the process, however it ends.

    Who holds the lock knows that every earlier process with this name is dead, and removes its temporary files. Raises
    ``DataFolderInUseError`` when another process still has it after ``patience`` seconds, and ``OSError``.
    """

    def __init__(self, folder: Path, *, patience: float = PATIENCE_SECONDS) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(folder / FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            self._lock(folder, time.monotonic() + patience)
            self.name = self._read_or_choose()
            self._remove_left(folder / TEMPORARY)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the lock."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _lock(self, folder: Path, end: float) -> None:
        while True:
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= end:
                    raise DataFolderInUseError(
                        errno.EBUSY, f"another updater works in {folder}: give each its own LUCIR_DATA"
                    ) from None
                time.sleep(0.1)
            else:
                return

    @staticmethod
    def _remove_left(place: Path) -> None:
        for left in place.glob("*"):
            if str(left) != tempfile.gettempdir():
                shutil.rmtree(left, ignore_errors=True)

    def _read_or_choose(self) -> str:
        text = os.pread(self._descriptor, 64, 0).decode(errors="replace").strip()
        try:
            return str(uuid.UUID(text))
        except ValueError:  # new, or cut short
            name = str(uuid.uuid4())
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, name.encode(), 0)
            os.fsync(self._descriptor)
            return name
