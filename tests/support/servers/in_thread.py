"""A model process's part in this process: quick to start, with the same networks and the same answers."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

from handlers.inference.answering import NOTHING_KEPT, Batch
from handlers.inference.preprocess import Limits
from handlers.inference.replies import RawRequest, Reply
from handlers.inference.version_model import VersionModel
from handlers.labelling.unsure_images import UnsureImages
from handlers.server.loaded_versions import LoadedVersion, LoadedVersions


class InThread:
    """Holds versions and answers batches, as ``handlers.server.model_process`` does."""

    def __init__(self, limits: Limits | None = None, unsure: UnsureImages = NOTHING_KEPT) -> None:
        self._limits = limits or Limits()
        self._unsure = unsure
        self._batch = Batch((), self._limits, 5)
        self.models: dict[int, VersionModel] = {}
        self.before: Callable[[], None] = lambda: None
        """Called in the thread of a batch, before it is answered."""

    up = True

    async def ready(self) -> None:
        """It is."""

    def answer(self, version: int, requests: Sequence[RawRequest]) -> asyncio.Future[list[Reply]]:
        """As the model says."""

        self._batch = Batch(requests, self._limits, 5, self._unsure)
        return self.answer_again(version, requests)

    def answer_again(self, version: int, _: Sequence[RawRequest]) -> asyncio.Future[list[Reply]]:
        """The batch before."""
        batch = self._batch

        def run() -> list[Reply]:
            self.before()
            return batch.answers(self.models[version])

        return asyncio.ensure_future(asyncio.to_thread(run))

    async def load(self, version: int, folder: Path) -> VersionModel:
        """Read a version."""
        self.models[version] = VersionModel.load(folder)
        return self.models[version]

    def forget(self, version: int) -> None:
        """Let it go."""
        self.models.pop(version, None)

    def known(self, folders: dict[int, Path], remembered: Path) -> LoadedVersions:
        """Versions that are loaded, of which the last answers everybody."""
        versions = LoadedVersions(self, remembered)
        for number, folder in folders.items():
            model = self.models[number] = VersionModel.load(folder)
            versions.known[number] = LoadedVersion(number, folder, "ready", 1, model)
            versions.make_default(versions.known[number])
        return versions
