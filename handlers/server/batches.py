"""Dynamic batches without a wait: what has queued up while a batch ran is the next batch."""

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Protocol

from handlers.inference.replies import RawRequest, Reply, error_reply
from handlers.inference.traffic_metrics import TrafficMetrics
from handlers.server.loaded_versions import LoadedVersion, LoadedVersions
from handlers.server.model_pool import ProcessLostError

NOT_YET: Final = "no version is loaded yet: try again in a moment"
LOST: Final = "the process that read this request ended, twice: the image may be one that no process survives"


class QueueFullError(RuntimeError):
    """So many requests wait that one more would only wait longer; the message says how many."""


class Runner(Protocol):
    """Answers one batch at a time."""

    @property
    def up(self) -> bool:
        """Whether it can be asked."""

    async def ready(self) -> None:
        """Return when it can be asked."""

    def answer(self, version: int, requests: Sequence[RawRequest]) -> asyncio.Future[list[Reply]]:
        """The replies, in order. Raises ``ProcessLostError``."""

    def answer_again(self, version: int, requests: Sequence[RawRequest]) -> asyncio.Future[list[Reply]]:
        """The replies of another version to the batch before, which are these. Raises ``ProcessLostError``."""


@dataclass(slots=True, eq=False)
class _Job:
    raw: RawRequest
    version: int | None
    future: asyncio.Future[Reply]
    queued: float = field(default_factory=time.perf_counter)
    lost: int = 0
    """Processes that ended while they had it."""


@dataclass(frozen=True, slots=True)
class BatchRules:
    """Most requests in a batch, most that wait; as in the settings."""

    batch_size: int
    queue_size: int


class Batcher:
    """Gives what is queued to whichever of ``runners`` is free. Use it from the event loop's thread only."""

    def __init__(
        self, versions: LoadedVersions, rules: BatchRules, traffic: TrafficMetrics, runners: Sequence[Runner]
    ) -> None:
        self._versions = versions
        self._traffic = traffic
        self._rules = rules
        self._runners = runners
        self._queue: deque[_Job] = deque()
        self._idle: list[Runner] = []
        """Those that wait for a request; the last one has the network in its processor's cache still."""
        self._running = 0
        """Requests that runners have."""
        self._woken = False
        """Whether the queue is about to be shared out."""
        self._open = False
        self._expected: set[asyncio.Task[None]] = set()
        """Of runners that cannot be asked yet."""

    def start(self) -> None:
        """Begin to answer, for the running event loop."""
        self._open = True
        for runner in self._runners:
            self._free(runner)

    def stop(self) -> None:
        """Answer no more; what is queued stays unanswered."""
        self._open = False
        for task in self._expected:
            task.cancel()

    def submit(self, raw: RawRequest, version: int | None) -> asyncio.Future[Reply]:
        """Queue a request for ``version``, or for whichever answers everybody. Raises ``QueueFullError``."""
        if len(self._queue) >= self._rules.queue_size:
            raise QueueFullError(f"{len(self._queue)} requests wait already: try again in a moment")
        job = _Job(raw, version, asyncio.get_running_loop().create_future())
        self._queue.append(job)
        self._wake()
        return job.future

    @property
    def waiting(self) -> int:
        """Requests that wait for a batch."""
        return len(self._queue)

    def waiting_for(self, version: int) -> int:
        """Requests in the queue that ask for this version by number."""
        return sum(job.version == version for job in self._queue)

    def _wake(self) -> None:
        """Have runners look at the queue: a single client's request at once, else when what came together is in it."""
        if not self._idle or self._woken:
            return
        if self._running:
            self._woken = True
            asyncio.get_running_loop().call_soon(self._share)
        else:
            self._share()

    def _share(self) -> None:
        self._woken = False
        while self._queue and self._idle:
            self._free(self._idle.pop())

    def _free(self, runner: Runner) -> None:
        """Give a runner its next batch, or let it wait for one."""
        if not runner.up:
            task = asyncio.create_task(self._expect(runner))
            self._expected.add(task)
            task.add_done_callback(self._expected.discard)
            return
        while batch := self._take():
            if self._answer(runner, batch):
                return
        self._idle.append(runner)

    async def _expect(self, runner: Runner) -> None:
        await runner.ready()
        self._free(runner)

    def _take(self) -> list[_Job]:
        """The next batch, all for the same version, without those that nobody waits for any more.

        At most this runner's share of all requests that are here, so that none runs a large batch while others idle.
        A request whose process ended runs alone: the next one must not end others' with it.
        """
        share = -(-(len(self._queue) + self._running) // len(self._runners))
        most = min(self._rules.batch_size, share)
        batch: list[_Job] = []
        others: list[_Job] = []
        while self._queue and len(batch) < most:
            job = self._queue.popleft()
            if job.future.done():
                continue
            if not batch or (job.version == batch[0].version and not job.lost):
                batch.append(job)
            else:
                others.append(job)
            if batch[0].lost:
                break
        self._queue.extendleft(reversed(others))
        return batch

    def _answer(self, runner: Runner, batch: list[_Job], *, again: bool = False) -> bool:
        """Have a batch answered; whether the runner does so, for nobody can while there is no version. ``again``: it
        has answered this batch just now, with another version.
        """
        taken = time.perf_counter()
        number = batch[0].version
        version = self._versions.default if number is None else self._versions.known.get(number)
        if version is None or version.model is None:
            notice = version.notice if version is not None else ""
            self._deliver(batch, [error_reply(503, notice or NOT_YET)] * len(batch), taken)
            return False
        self._running += len(batch)
        ask = runner.answer_again if again else runner.answer
        replies = ask(version.number, [job.raw for job in batch])
        replies.add_done_callback(partial(self._answered, runner, batch, version, taken))
        return True

    def _overtaken(self, batch: list[_Job], version: LoadedVersion) -> bool:
        """Whether another version took over while this one answered a batch for whichever answers everybody.

        That one answers it, then: a client that has seen an answer of the new version, on whatever connection, gets
        none of the old one afterwards.
        """
        return batch[0].version is None and self._versions.default not in (None, version)

    def _answered(
        self,
        runner: Runner,
        batch: list[_Job],
        version: LoadedVersion,
        taken: float,
        replies: asyncio.Future[list[Reply]],
    ) -> None:
        self._running -= len(batch)
        if not self._open:
            return
        if replies.exception() is None and self._overtaken(batch, version):
            if not self._answer(runner, batch, again=True):
                self._free(runner)
            return
        try:
            self._deliver(batch, replies.result(), taken)
        except ProcessLostError:
            self._again(batch)
        finally:
            self._free(runner)

    def _again(self, batch: list[_Job]) -> None:
        """Have requests answered by another process, each at most once."""
        for job in batch:
            job.lost += 1
            if job.lost > 1 and not job.future.done():
                job.future.set_result(error_reply(500, LOST))
        self._queue.extendleft(job for job in reversed(batch) if not job.future.done())
        self._wake()

    def _deliver(self, batch: list[_Job], replies: Sequence[Reply], taken: float) -> None:
        """Hand out the replies."""
        given = [(job, reply) for job, reply in zip(batch, replies, strict=True) if not job.future.done()]
        for job, reply in given:
            job.future.set_result(reply)
        # Counted once the answers are on their way: a client need not wait for the figures.
        seconds = time.perf_counter() - taken
        asyncio.get_running_loop().call_soon(self._count, len(batch), seconds, taken, given)

    def _count(self, images: int, seconds: float, taken: float, given: Sequence[tuple[_Job, Reply]]) -> None:
        self._traffic.ran(images, seconds)
        for job, reply in given:
            self._traffic.waited(taken - job.queued)
            for answer in reply.answers:
                self._traffic.gave(answer.probability, answer.cosine, answer.unknown)
