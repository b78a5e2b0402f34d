"""What machines ask the updater: ``/metrics``, ``/healthz``, ``/readyz``."""

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


class Probes:
    """The calls."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._checked = -READY_SECONDS
        self._problem: str | None = None

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
        present = time.monotonic()
        if present - self._checked >= READY_SECONDS:  # the check writes, so do not repeat it for every probe
            self._problem = await run_in_threadpool(self._check)
            self._checked = present
        listed = self._source.status.snapshot()["store"]  # by the watcher
        problem = self._problem or (None if listed["ok"] else listed["error"])
        if problem is not None:
            return json_answer({"status": "not ready", "error": problem}, 503)
        return json_answer({"status": "ok"})

    def _check(self) -> str | None:
        try:
            self._source.objects.check()
        except StoreError as error:
            return str(error)
        return None
