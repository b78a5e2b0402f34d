"""What machines ask the updater: ``/metrics``, ``/healthz``, ``/readyz``."""

import asyncio
import time

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from handlers.sidecar.http import json_answer
from handlers.updater.http.source import Source
from model_store.objects import StoreError

SILENT_SECONDS = 300.0
"""A loop that has not moved for so long hangs: every wait in it is shorter."""
READY_SECONDS = 5.0
"""How long one check of the store counts."""
ANSWER_SECONDS = 2.0
"""How long a check may run before an answer says so: less than probes wait (``handlers.stack.health``)."""


class Probes:
    """The calls."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._began = self._checked = -READY_SECONDS
        self._problem: str | None = None
        self._running: asyncio.Task[None] | None = None

    def routes(self) -> list[Route]:
        """For the application."""
        return [Route("/metrics", self.metrics), Route("/healthz", self.alive), Route("/readyz", self.ready)]

    async def metrics(self, _: Request) -> Response:
        """For Prometheus."""
        return Response(self._source.metrics.render(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def alive(self, _: Request) -> Response:
        """Whether the loops move: if not, only a restart helps."""
        silent = self._source.status.silent_loops(SILENT_SECONDS)
        if silent:
            message = f"hanging for more than {SILENT_SECONDS:.0f} s: {', '.join(silent)}"
            return json_answer({"status": "failing", "error": message}, 503)
        return json_answer({"status": "ok"})

    async def ready(self, _: Request) -> Response:
        """Whether drops can be taken: the store can be read and written, and what is dropped can be listed."""
        problem = await self._store_problem()
        listed = self._source.status.snapshot()["store"]  # by the watcher
        problem = problem or (None if listed["ok"] else listed["error"])
        if problem is not None:
            return json_answer({"status": "not ready", "error": problem}, 503)
        return json_answer({"status": "ok"})

    async def _store_problem(self) -> str | None:
        """What the last check found. All who ask share one that runs: while a store hangs, each lasts for minutes."""
        present = time.monotonic()
        running = self._running
        if (running is None or running.done()) and present - self._checked >= READY_SECONDS:
            self._began = present
            running = self._running = asyncio.create_task(self._look())
        if running is not None:
            done, _ = await asyncio.wait([running], timeout=max(0.0, self._began + ANSWER_SECONDS - present))
            if not done:
                store = self._source.objects.url  # the same words each time: the stack logs every change of them
                return f"the store {store} leaves a check of it waiting: look at its server, and at the way to it"
            running.result()
        return self._problem

    async def _look(self) -> None:
        self._problem = await run_in_threadpool(self._check)  # it writes, so it is not repeated for every probe
        self._checked = time.monotonic()

    def _check(self) -> str | None:
        try:
            self._source.objects.check()
        except StoreError as error:
            return str(error)
        return None
