"""Dynamic batches without a wait: what has queued up while a batch ran is the next batch."""

import asyncio
import logging
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Final

from handlers.inference.answering import RawRequest, Reply, answer_batch, error_reply
from handlers.inference.preprocess import ImageRules
from handlers.inference.traffic_metrics import TrafficMetrics
from handlers.labelling.unsure_images import UnsureImages, UnsureRules
from handlers.server.loaded_versions import LoadedVersion, LoadedVersions

logger = logging.getLogger(__name__)

NOT_YET: Final = "no version is loaded yet: try again in a moment"


class QueueFullError(RuntimeError):
    """So many requests wait that one more would only wait longer; the message says how many."""


@dataclass(slots=True, eq=False)
class _Job:
    raw: RawRequest
    version: int | None
    future: asyncio.Future[Reply]
    queued: float = field(default_factory=time.perf_counter)


@dataclass(frozen=True, slots=True)
class BatchRules:
    """How batches are made; as in the settings."""

    limits: ImageRules
    top_k: int
    batch_size: int
    queue_size: int
    runners: int
    """Batches that run through the model side by side."""
    unsure: UnsureRules = field(default_factory=UnsureRules)


class Batcher:
    """Threads that each take what is queued, at most ``batch_size`` requests, and answer it in one run.

    There is one thread more than may run the model: it decodes the next batch meanwhile.
    ONNX Runtime and Pillow let other threads run meanwhile, so that the event loop goes on reading requests. Use
    ``submit`` from the event loop's thread only.
    """

    def __init__(self, versions: LoadedVersions, rules: BatchRules, traffic: TrafficMetrics) -> None:
        self._versions = versions
        self._traffic = traffic
        self._rules = rules
        self._unsure = UnsureImages(rules.unsure)
        self._queue: deque[_Job] = deque()
        self._arrived = threading.Condition()
        self._running: dict[int, float] = {}
        self._turns = threading.Semaphore(rules.runners)
        self._stopping = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._threads = [
            threading.Thread(target=self._run, args=(number,), name=f"runner-{number}", daemon=True)
            for number in range(rules.runners + 1)
        ]

    def start(self) -> None:
        """Begin to answer, for the running event loop."""
        self._loop = asyncio.get_running_loop()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End the threads; what is queued stays unanswered."""
        with self._arrived:
            self._stopping = True
            self._arrived.notify_all()

    def submit(self, raw: RawRequest, version: int | None) -> asyncio.Future[Reply]:
        """Queue a request for ``version``, or for whichever answers everybody. Raises ``QueueFullError``."""
        if self._loop is None:
            raise RuntimeError("the runners have not been started")
        job = _Job(raw, version, self._loop.create_future())
        with self._arrived:
            if len(self._queue) >= self._rules.queue_size:
                raise QueueFullError(f"{len(self._queue)} requests wait already: try again in a moment")
            self._queue.append(job)
            self._arrived.notify()
        return job.future

    @property
    def waiting(self) -> int:
        """Requests that wait for a batch."""
        return len(self._queue)

    def waiting_for(self, version: int) -> int:
        """Requests in the queue that ask for this version by number."""
        with self._arrived:
            return sum(job.version == version for job in self._queue)

    def stuck_seconds(self) -> float:
        """How long the slowest batch has been running."""
        now = time.perf_counter()
        return max((now - since for since in list(self._running.values())), default=0.0)

    def _take(self) -> list[_Job]:
        """The next batch, all for the same version; empty when everything ends."""
        with self._arrived:
            while not self._queue and not self._stopping:
                self._arrived.wait()
            if self._stopping:
                return []
            batch = [self._queue.popleft()]
            others: list[_Job] = []
            while self._queue and len(batch) < self._rules.batch_size:
                job = self._queue.popleft()
                (batch if job.version == batch[0].version else others).append(job)
            self._queue.extendleft(reversed(others))
            return batch

    def _run(self, number: int) -> None:
        while batch := self._take():
            taken = self._running[number] = time.perf_counter()
            batch = [job for job in batch if not job.future.done()]
            version = self._find(batch[0].version) if batch else None
            replies = self._answer(version, batch)
            seconds = time.perf_counter() - taken
            del self._running[number]
            if self._loop is None or self._loop.is_closed():
                return
            self._loop.call_soon_threadsafe(self._deliver, batch, version, replies, taken, seconds)

    def _find(self, number: int | None) -> LoadedVersion | None:
        return self._versions.default if number is None else self._versions.known.get(number)

    def _answer(self, version: LoadedVersion | None, batch: list[_Job]) -> list[Reply]:
        if version is None or version.model is None:
            notice = version.notice if version is not None else ""
            return [error_reply(503, notice or NOT_YET)] * len(batch)
        try:
            raw = [job.raw for job in batch]
            return answer_batch(version.model, raw, self._rules.limits, self._rules.top_k, self._turns, self._unsure)
        except Exception:  # the thread must go on; nobody is left without an answer
            logger.exception("a batch failed", extra={"version": version.number, "requests": len(batch)})
            return [error_reply(500, "internal error; the server's log has the details")] * len(batch)

    def _deliver(
        self,
        batch: list[_Job],
        version: LoadedVersion | None,
        replies: list[Reply],
        taken: float,
        seconds: float,
    ) -> None:
        """Hand out the replies, in the event loop's thread, where swaps happen too.

        A batch that an earlier version answered while another took over runs again: a client that has seen an answer
        of the new one, on whatever connection, gets none of the old one afterwards.
        """
        late = batch and batch[0].version is None and self._versions.default is not version
        if late and self._versions.default is not None:
            with self._arrived:
                self._queue.extendleft(reversed(batch))
                self._arrived.notify()
            return
        if batch:
            self._traffic.ran(len(batch), seconds)
        for job, reply in zip(batch, replies, strict=True):
            if not job.future.done():
                self._traffic.waited(taken - job.queued)
                for given in reply.answers:
                    self._traffic.gave(given.probability, given.cosine, given.unknown)
                job.future.set_result(reply)
