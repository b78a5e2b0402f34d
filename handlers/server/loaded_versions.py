"""The versions that this process holds in memory, and which of them answers everybody."""

import json
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from handlers.inference.version_model import VersionModel
from handlers.inference.worker import NOTHING_LEARNT_FILE
from model_store.local_files import sibling

logger = logging.getLogger(__name__)

Load = Callable[[Path], VersionModel]


@dataclass(slots=True, eq=False)
class LoadedVersion:
    """A version by its number. ``model`` is None until it is loaded; version 0 has a ``notice`` instead."""

    number: int
    folder: Path
    state: Literal["known", "loading", "ready", "failed"] = "known"
    workers: int = 0
    """As many as were asked for: what the reconciler compares. Every runner of this process answers for each."""
    model: VersionModel | None = None
    notice: str = ""
    """What every request is told instead of classes."""
    problem: str = ""
    """Why it cannot be loaded."""


@dataclass(slots=True)
class LoadedVersions:
    """Changed by the event loop's thread only; a thread that loads fills in its own version and nothing else.

    ``default`` answers requests that name no version: replacing that one reference is the swap.
    """

    load: Load
    remembered: Path
    """A file that tells a new process which version answered last, so that it need not wait for the reconciler."""
    known: dict[int, LoadedVersion] = field(default_factory=dict)
    default: LoadedVersion | None = None

    def register(self, number: int, folder: Path) -> bool:
        """Make a version known; False when it is already."""
        if number in self.known:
            return False
        self.known[number] = LoadedVersion(number, folder)
        return True

    def start(self, version: LoadedVersion, workers: int) -> None:
        """Load a version beside those that answer, in a thread of its own; ``state`` tells when it is there."""
        version.workers = workers
        if version.state in ("loading", "ready") or workers == 0:
            return
        version.state, version.problem = "loading", ""
        threading.Thread(target=self._load, args=(version,), name=f"load-{version.number}", daemon=True).start()

    def make_default(self, version: LoadedVersion) -> None:
        """From now on ``version`` answers requests that name none."""
        previous = self.default
        self.default = version
        if previous is not version:
            logger.info("version %d answers now", version.number)
            self._remember(version)

    def forget(self, number: int) -> bool:
        """Let a version go; what runs with it ends by itself. False when it is not known."""
        version = self.known.pop(number, None)
        if version is not None and self.default is version:
            self.default = None
        return version is not None

    def resume(self, workers: int) -> None:
        """Load what an earlier process answered with, from its local copy, and answer with it."""
        try:
            folder = Path(json.loads(self.remembered.read_text(encoding="utf-8"))["folder"])
            number = int(folder.name.rpartition("-")[2])
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError) as error:
            logger.warning("%s does not say which version answered last: %s", self.remembered, error)
            return
        version = LoadedVersion(number, folder, "loading", workers)
        self._load(version)
        if version.state == "ready":
            self.known[number] = self.default = version

    def _remember(self, version: LoadedVersion) -> None:
        """A disk that is full costs a quick restart, nothing else."""
        try:
            with sibling(self.remembered) as temporary:
                temporary.write_text(json.dumps({"folder": str(version.folder)}), encoding="utf-8")
                temporary.replace(self.remembered)
        except OSError as error:
            logger.warning("%s cannot be written: %s", self.remembered, error)

    def _load(self, version: LoadedVersion) -> None:
        started = time.monotonic()
        try:
            notice = version.folder / NOTHING_LEARNT_FILE
            if notice.exists():
                version.notice = str(json.loads(notice.read_text(encoding="utf-8"))["error"])
            else:
                version.model = self.load(version.folder)
        except Exception as error:  # whatever it is, this version must not serve, and the others go on
            logger.exception("version %d cannot be loaded", version.number)
            version.problem = str(error) or type(error).__name__
            version.state = "failed"
        else:
            version.state = "ready"
            logger.info("version %d loaded in %.2f s", version.number, time.monotonic() - started)
