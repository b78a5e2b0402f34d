"""Large files of a version on this machine, for as long as the page looks at that version."""

import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from model_store.versions import VersionStore

Found = TypeVar("Found")


class VersionFiles:
    """Thread-safe. Verified copies below ``folder``; those of one version at a time, so that they stay few."""

    def __init__(self, versions: VersionStore, folder: Path) -> None:
        self._versions = versions
        self._folder = folder
        self._lock = threading.Lock()
        self._number: int | None = None

    def read(self, number: int, name: str, read: Callable[[Path], Found]) -> Found | None:
        """What ``read`` makes of the file, while nobody removes it; None where the version has none of this name.

        Raises as ``VersionStore.fetch`` does.
        """
        with self._lock:
            path = self._folder / name
            if self._number != number or not path.exists():
                if name not in self._versions.manifest(number).files:
                    return None
                if self._number != number:
                    shutil.rmtree(self._folder, ignore_errors=True)
                    self._number = number
                self._folder.mkdir(parents=True, exist_ok=True)
                self._versions.fetch(number, self._folder, [name])
            return read(path)
