"""Large files of a version on this machine, for as long as the page looks at that version."""

import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from handlers.updater.context.parent import copy_folder
from model_store.versions import VersionStore

FOLDER = "page"
"""Below the scratch space: files of the version that the page shows."""
Found = TypeVar("Found")


class VerifiedFiles:
    """Thread-safe. Verified copies in a folder below ``work``; those of one version at a time, so that they stay few.

    What the next update will start from lies below ``work`` already, after a restart too: it is not fetched again. At
    1,000 classes of 20 images that is 280 MB that are not fetched, nor kept twice.
    """

    def __init__(self, versions: VersionStore, work: Path) -> None:
        self._versions = versions
        self._work = work
        self._folder = work / FOLDER
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
                self._put(number, name)
            return read(path)

    def _put(self, number: int, name: str) -> None:
        try:
            os.link(copy_folder(self._work, number) / name, self._folder / name)
        except OSError:  # another version's, removed just now, or links are not possible here
            self._versions.fetch(number, self._folder, [name])
