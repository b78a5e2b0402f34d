"""Model processes: real ones, asked, stopped for good, killed; and what becomes of the requests that they held."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from handlers.inference.replies import RawRequest, Reply
from handlers.inference.sessions.copy_choice import CHOICE_FILE
from handlers.inference.traffic_metrics import TrafficMetrics
from handlers.inference.workers.held_versions import give_back_memory
from handlers.inference.workers.worker import WorkerOptions
from handlers.process_registry import ModelProcesses
from handlers.server.batches import Batcher, BatchRules
from handlers.server.frames import LogWords, model_environment
from handlers.server.model_pool import LoadError, ModelPool, PoolRules, ProcessLostError
from tests.handlers.torchserve.conftest import MakeImage, MakeVersion
from tests.support.present import present
from tests.support.servers.in_thread import InThread
from tests.support.waiting import PATIENCE


@asynccontextmanager
async def pool_of(
    processes: int, folders: dict[int, Path], answer_seconds: float = 30, start_seconds: float = 60
) -> AsyncIterator[ModelPool]:
    environment = model_environment(WorkerOptions(), LogWords("WARNING", "text"), None)
    pool = ModelPool(PoolRules(processes, environment, answer_seconds, start_seconds), lambda: folders)
    pool.start()
    try:
        yield pool
    finally:
        await pool.stop()


def requests_of(*images: bytes) -> list[RawRequest]:
    return [RawRequest({"body": image}, {}) for image in images]


def best(reply: Reply) -> str:
    return str(json.loads(reply.body)["predictions"][0]["class"])


@pytest.mark.slow
def test_a_process_answers_is_replaced_and_ended_when_it_is_stuck(
    tmp_path: Path, make_version: MakeVersion, make_image: MakeImage
) -> None:
    folders = {1: make_version(tmp_path / "lucir-1", 1)}

    async def story() -> None:
        async with pool_of(1, folders, answer_seconds=8) as pool:
            (process,) = pool.processes
            await asyncio.wait_for(process.ready(), PATIENCE)
            both = requests_of(make_image("grün"), b"no image")
            assert [reply.status for reply in await process.answer_again(1, both)] == [500, 500]  # nothing was asked
            replies = await process.answer(1, requests_of(make_image("青"), b"no image"))
            assert (best(replies[0]), [reply.status for reply in replies]) == ("青", [200, 400])
            facts = await pool.load(2, make_version(tmp_path / "lucir-2", 2))
            assert (facts.version, facts.classes, facts.size) == (2, ("rot", "grün", "青"), 16)
            with pytest.raises(LoadError, match="manifest"):
                await pool.load(3, tmp_path / "lucir-3")
            first = present(process.pid)
            costs = [sample.value for family in ModelProcesses(pool.pids).collect() for sample in family.samples]
            assert len(costs) == 2
            assert min(costs) > 0
            os.kill(first, signal.SIGSTOP)
            with pytest.raises(ProcessLostError):
                await process.answer(2, requests_of(make_image()))
            await asyncio.wait_for(process.ready(), PATIENCE)
            assert process.pid not in (None, first)
            assert best((await process.answer(1, requests_of(make_image("rot"))))[0]) == "rot"
            folders[2] = tmp_path / "lucir-2"  # it became ready while this process was starting
            again = await process.answer_again(2, both)  # the batch before is not kept where nobody could ask for it
            assert (best(again[0]), again[1].status) == ("grün", 400)
            assert best((await process.answer(2, requests_of(make_image("rot"))))[0]) == "rot"
            assert best((await process.answer_again(1, requests_of(b"read before")))[0]) == "rot"
            pool.forget(1)
            assert [reply.status for reply in await process.answer(2, both)] == [200, 400]
            assert [reply.status for reply in await process.answer_again(2, both)] == [500, 500]

    asyncio.run(story())


def test_a_batch_that_another_version_overtakes_is_answered_by_that_one_and_read_once(
    tmp_path: Path, make_version: MakeVersion, make_image: MakeImage
) -> None:
    async def story() -> tuple[int, list[int]]:
        models = Fragile(b"")
        versions = models.known(
            {number: make_version(tmp_path / f"lucir-{number}", number) for number in (2, 1)},
            tmp_path / "answering.json",
        )
        models.before = lambda: versions.make_default(versions.known[2])
        batcher = Batcher(versions, BatchRules(8, 50), TrafficMetrics(), [models])
        waiting = [batcher.submit(requests_of(make_image())[0], None) for _ in range(2)]
        batcher.start()
        replies = await asyncio.wait_for(asyncio.gather(*waiting), PATIENCE)
        batcher.stop()
        (version,) = {json.loads(reply.body)["model_version"] for reply in replies}
        return version, models.batches

    assert asyncio.run(story()) == (2, [2])


def test_a_process_that_never_comes_up_does_not_hold_up_a_version_for_ever(
    tmp_path: Path, make_version: MakeVersion
) -> None:
    async def story() -> None:
        async with pool_of(1, {1: tmp_path / "is not there"}, start_seconds=0.5) as pool:
            with pytest.raises(LoadError, match=r"has not come up within 0\.5 s"):
                await asyncio.wait_for(pool.load(2, make_version(tmp_path / "lucir-2", 2)), PATIENCE)

    asyncio.run(story())


@pytest.mark.parametrize(
    ("processes", "chosen", "resting"),
    [(1, False, set()), (2, False, {(False, True)}), (2, True, set())],
)
def test_a_process_that_chooses_a_copy_rests_while_another_answers(
    tmp_path: Path, make_version: MakeVersion, processes: int, chosen: bool, resting: set[tuple[bool, ...]]
) -> None:
    if chosen:
        (tmp_path / "lucir-0").mkdir()
        (tmp_path / "lucir-0" / CHOICE_FILE).touch()

    async def story() -> set[tuple[bool, ...]]:
        async with pool_of(processes, {1: make_version(tmp_path / "lucir-1", 1)}) as pool:
            for process in pool.processes:
                await asyncio.wait_for(process.ready(), PATIENCE)
            loading = asyncio.create_task(pool.load(2, make_version(tmp_path / "lucir-2", 2)))
            seen = set()
            async with asyncio.timeout(PATIENCE):
                while not loading.done():
                    seen.add(tuple(process.up for process in pool.processes))
                    assert len(pool.pids()) == processes
                    await asyncio.sleep(0)
            assert (await loading).version == 2
            for process in pool.processes:
                await asyncio.wait_for(process.ready(), PATIENCE)
            return seen

    assert asyncio.run(story()) - {(True,) * processes} == resting


def test_memory_that_loading_has_freed_goes_back_to_the_system() -> None:
    blocks = [bytes([number % 250 + 1]) * 65536 for number in range(1000)]
    last = blocks[-1]  # keeps the C library from giving back what lies below it
    process, before = psutil.Process(), psutil.Process().memory_info().rss
    blocks.clear()
    give_back_memory()
    assert process.memory_info().rss < before - 40 * 2**20
    assert len(last) == 65536


class Fragile(InThread):
    """Ends whenever it is asked for one image, as a decoder with a fault would: none is known that does."""

    def __init__(self, poison: bytes) -> None:
        super().__init__()
        self._poison = poison
        self.batches: list[int] = []

    def answer(self, version: int, requests: Sequence[RawRequest]) -> asyncio.Future[list[Reply]]:
        self.batches.append(len(requests))
        if any(request.fields["body"] == self._poison for request in requests):
            ended: asyncio.Future[list[Reply]] = asyncio.get_running_loop().create_future()
            ended.set_exception(ProcessLostError("ended"))
            return ended
        return super().answer(version, requests)


def test_a_request_that_ends_processes_fails_alone(
    tmp_path: Path, make_version: MakeVersion, make_image: MakeImage
) -> None:
    async def story() -> list[Reply]:
        models = Fragile(b"poison")
        versions = models.known({1: make_version(tmp_path / "lucir-1", 1)}, tmp_path / "answering.json")
        batcher = Batcher(versions, BatchRules(8, 50), TrafficMetrics(), [models])
        images = [make_image("rot"), b"poison", make_image("青"), make_image("grün")]
        waiting = [batcher.submit(request, None) for request in requests_of(*images)]
        batcher.start()
        replies = await asyncio.wait_for(asyncio.gather(*waiting), PATIENCE)
        batcher.stop()
        assert models.batches == [4, 1, 1, 1, 1]
        return replies

    replies = asyncio.run(story())
    assert [reply.status for reply in replies] == [200, 500, 200, 200]
    assert "ended, twice" in json.loads(replies[1].body)["error"]


def test_requests_are_shared_among_the_processes_and_the_last_one_is_asked_first(
    tmp_path: Path, make_version: MakeVersion, make_image: MakeImage
) -> None:
    async def story() -> tuple[list[int], list[int]]:
        one, other = Fragile(b""), Fragile(b"")
        versions = one.known({1: make_version(tmp_path / "lucir-1", 1)}, tmp_path / "answering.json")
        other.models = one.models
        batcher = Batcher(versions, BatchRules(8, 50), TrafficMetrics(), [one, other])
        waiting = [batcher.submit(request, None) for request in requests_of(*[make_image()] * 6)]
        batcher.start()
        await asyncio.wait_for(asyncio.gather(*waiting), PATIENCE)
        together = one.batches + other.batches
        one.batches.clear()
        other.batches.clear()
        for _ in range(4):
            await asyncio.wait_for(batcher.submit(requests_of(make_image())[0], None), PATIENCE)
        batcher.stop()
        return together, sorted([len(one.batches), len(other.batches)])

    together, apart = asyncio.run(story())
    assert together == [3, 3]
    assert apart == [0, 4]
