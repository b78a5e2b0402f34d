"""Versions that are let go while they are loaded, or are loaded by some processes only: nothing of them stays."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from handlers.inference.workers.worker_calls import ModelFacts
from handlers.server.loaded_versions import LoadedVersions
from handlers.server.model_pool import LoadError

FOLDER = Path("lucir-5")


class Processes:
    """Load when they are told to, and then all but one of them if there is a ``problem``."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.problem = ""
        self.forgotten: list[int] = []

    async def load(self, version: int, folder: Path) -> ModelFacts:
        await self.go.wait()
        if self.problem:
            raise LoadError(self.problem)
        return ModelFacts(version, ("ant",), 8, 8, "bilinear")

    def forget(self, version: int) -> None:
        self.forgotten.append(version)


def tell(story: Callable[[Processes, LoadedVersions], Awaitable[None]]) -> tuple[list[int], str]:
    """Which versions the processes were told to let go, and how version 5 is in the end."""

    async def told() -> tuple[list[int], str]:
        processes = Processes()
        versions = LoadedVersions(processes, Path("answering.json"))
        versions.register(5, FOLDER)
        await story(processes, versions)
        processes.go.set()
        await asyncio.gather(*versions.loading)
        return processes.forgotten, versions.known[5].state if 5 in versions.known else "gone"

    return asyncio.run(told())


async def begin(versions: LoadedVersions) -> None:
    versions.start(versions.known[5], 1)
    await asyncio.sleep(0)


def test_a_version_that_is_loaded_stays() -> None:
    async def story(_: Processes, versions: LoadedVersions) -> None:
        await begin(versions)

    assert tell(story) == ([], "ready")


def test_one_that_nobody_has_begun_to_load_is_not_known_to_the_processes() -> None:
    async def story(_: Processes, versions: LoadedVersions) -> None:
        assert versions.forget(5)
        assert not versions.forget(5)

    assert tell(story) == ([], "gone")


def test_one_that_is_let_go_while_it_is_loaded() -> None:
    async def story(_: Processes, versions: LoadedVersions) -> None:
        await begin(versions)
        assert versions.forget(5)

    assert tell(story) == ([5], "gone")


def test_one_that_a_process_cannot_load_goes_from_the_others() -> None:
    async def story(processes: Processes, versions: LoadedVersions) -> None:
        processes.problem = "a process ended"
        await begin(versions)

    assert tell(story) == ([5], "failed")


def test_one_that_is_registered_again_is_not_let_go_for_what_failed_before() -> None:
    async def story(processes: Processes, versions: LoadedVersions) -> None:
        await begin(versions)
        versions.forget(5)
        versions.register(5, FOLDER)
        processes.problem = "a process ended"

    assert tell(story) == ([5], "known")
