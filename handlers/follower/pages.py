"""The follower's HTTP: metrics, health, status. It only ever reads."""

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from handlers.follower.replica import Follower
from handlers.sidecar.http import HEADERS, answer_bug, answer_missing, json_answer

SILENT_SECONDS = 120.0
"""A loop that has not moved for so long hangs: every wait in it is shorter."""


def make_app(follower: Follower) -> Starlette:
    """The ASGI application."""
    pages = _Pages(follower)
    routes = [
        Route("/metrics", pages.metrics),
        Route("/healthz", pages.alive),
        Route("/readyz", pages.ready),
        Route("/api/status", pages.status),
    ]
    missing = answer_missing(
        "/api/status, /metrics, /healthz, /readyz; a follower has no other page, the updater has",
        "everything is read with GET",
    )
    return Starlette(routes=routes, exception_handlers={HTTPException: missing, Exception: answer_bug})


class _Pages:
    def __init__(self, follower: Follower) -> None:
        self._follower = follower

    async def metrics(self, _: Request) -> Response:
        return Response(self._follower.metrics.render(), headers=HEADERS | {"Content-Type": CONTENT_TYPE_LATEST})

    async def alive(self, _: Request) -> Response:
        """Whether the loop moves: if not, only a restart helps."""
        if self._follower.status.silent_loops(SILENT_SECONDS):
            return json_answer({"status": "failing", "error": f"hanging for more than {SILENT_SECONDS:.0f} s"}, 503)
        return json_answer({"status": "ok"})

    async def ready(self, _: Request) -> Response:
        """Whether TorchServe answers with a version that was confirmed; an older one while the store is away."""
        problem = self._follower.problem
        if problem is not None:
            return json_answer({"status": "not ready", "error": problem}, 503)
        return json_answer({"status": "ok"})

    async def status(self, _: Request) -> Response:
        """As the updater's: ``current_version``, ``served_version``, ``server_error``, ``store``, ``errors``."""
        return json_answer(self._follower.status.snapshot())
