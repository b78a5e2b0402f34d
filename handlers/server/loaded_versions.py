"""The versions that the model processes hold in memory, and which of them answers everybody."""

import asyncio
import json
import logging
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from handlers.inference.workers.worker import NOTHING_LEARNT_FILE
from handlers.server.model_pool import LoadError
from model_store.local_files import sibling

logger = logging.getLogger(__name__)


class Facts(Protocol):
    """What is told of a version that is loaded."""

    @property
    def version(self) -> int:
        """Its number."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Their names, in the order of the outputs."""

    @property
    def resize(self) -> int:
        """Side of the square that an image is resampled to, in pixels."""

    @property
    def size(self) -> int:
        """Side of that square's centre, which the network sees."""

    @property
    def interpolation(self) -> str:
        """Of the resampling."""


class Loader(Protocol):
    """Whoever holds the networks."""

    async def load(self, version: int, folder: Path) -> Facts:
        """Have a version ready to answer. Raises ``LoadError``: it must not serve."""

    def forget(self, version: int) -> None:
        """Let a version go; what runs with it ends by itself."""


@dataclass(slots=True, eq=False)
class LoadedVersion:
    """A version by its number. ``model`` is None until it is loaded; version 0 has a ``notice`` instead."""

    number: int
    folder: Path
    state: Literal["known", "loading", "ready", "failed"] = "known"
    workers: int = 0
    """As many as were asked for: what the reconciler compares. Every model process answers with each version."""
    model: Facts | None = None
    notice: str = ""
    """What every request is told instead of classes."""
    problem: str = ""
    """Why it cannot be loaded."""


@dataclass(slots=True)
class LoadedVersions:
    """Use it from the event loop's thread only.

    ``default`` answers requests that name no version: replacing that one reference is the swap.
    """

    loader: Loader
    remembered: Path
    """A file that tells a new process which version answered last, so that it need not wait for the reconciler."""
    known: dict[int, LoadedVersion] = field(default_factory=dict)
    default: LoadedVersion | None = None
    loading: set[asyncio.Task[None]] = field(default_factory=set)
    """Under way."""

    def folders(self) -> dict[int, Path]:
        """Of the versions that a process of the loader has to have, by number."""
        return {number: version.folder for number, version in self.known.items() if version.model is not None}

    def register(self, number: int, folder: Path) -> bool:
        """Make a version known; False when it is already."""
        if number in self.known:
            return False
        self.known[number] = LoadedVersion(number, folder)
        return True

    def start(self, version: LoadedVersion, workers: int) -> None:
        """Have a version loaded beside those that answer; ``state`` tells when it is there."""
        version.workers = workers
        if version.state in ("loading", "ready") or workers == 0:
            return
        version.state, version.problem = "loading", ""
        task = asyncio.create_task(self._load(version))
        self.loading.add(task)
        task.add_done_callback(self.loading.discard)

    def make_default(self, version: LoadedVersion) -> None:
        """From now on ``version`` answers requests that name none."""
        previous = self.default
        self.default = version
        if previous is not version:
            logger.info("version %d answers now", version.number)
            self._remember(version)

    def forget(self, number: int) -> bool:
        """Let a version go; what runs with it, or loads it, ends by itself. False when it is not known."""
        version = self.known.pop(number, None)
        if version is not None and self.default is version:
            self.default = None
        if version is not None and version.state != "known":
            self.loader.forget(number)  # whatever of it is loaded, or about to be
        return version is not None

    async def resume(self, workers: int) -> None:
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
        await self._load(version)
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

    async def _load(self, version: LoadedVersion) -> None:
        started = time.monotonic()
        try:
            notice = version.folder / NOTHING_LEARNT_FILE
            if notice.exists():
                version.notice = str(json.loads(notice.read_text(encoding="utf-8"))["error"])
            else:
                version.model = await self.loader.load(version.number, version.folder)
        except (LoadError, OSError, ValueError, KeyError) as error:
            version.problem = str(error) or type(error).__name__
            logger.error("version %d cannot be loaded: %s", version.number, version.problem)
            version.state = "failed"
            if self.known.get(version.number, version) is version:
                self.loader.forget(version.number)  # where it was loaded all the same
        else:
            version.state = "ready"
            logger.info("version %d loaded in %.2f s", version.number, time.monotonic() - started)
