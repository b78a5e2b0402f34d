"""The updater's HTTP: the operator's page, metrics, health, status, which only read; and requests for changes."""

import time
from pathlib import Path
from typing import Protocol

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from handlers.bucket.edit_requests import EditDesk
from handlers.settings import Settings
from handlers.sidecar.http import HEADERS, answer_bug, json_answer
from handlers.templates import policy_hash, render_page, source
from handlers.updater.http.correct import CorrectionApi
from handlers.updater.http.edits import EditApi
from handlers.updater.http.reports import ReportApi
from handlers.updater.http.version_answers import VersionApi
from handlers.updater.http.versions import VersionsView
from handlers.updater.metrics import Metrics
from handlers.updater.status import Status
from model_store.objects import ObjectStore, StoreError
from model_store.versions import VersionStore

_FOLDER = Path(__file__).parent
SILENT_SECONDS = 300.0
"""A loop that has not moved for so long hangs: every wait in it is shorter."""
READY_SECONDS = 5.0
"""How long one check of the store counts."""


class Source(Protocol):
    """What the pages tell of: ``handlers.updater.service.Updater`` is one."""

    metrics: Metrics
    status: Status
    view: VersionsView
    objects: ObjectStore
    settings: Settings
    versions: VersionStore
    edits: EditDesk


def make_app(source: Source) -> Starlette:
    """The ASGI application."""
    routes = [
        Route("/", _Page().answer),
        Route("/metrics", _Metrics(source).answer),
        Route("/healthz", _Health(source).alive),
        Route("/readyz", _Health(source).ready),
        Route("/api/status", _Api(source).status),
        *VersionApi(source).routes(),
        *EditApi(source).routes(),
        *CorrectionApi(source).routes(),
        *ReportApi(source.versions).routes(),
    ]
    return Starlette(
        routes=routes,
        middleware=[Middleware(GZipMiddleware, minimum_size=1024, compresslevel=6)],
        exception_handlers={HTTPException: _http_error, StoreError: _store_error, Exception: answer_bug},
    )


class _Page:
    """One page without outside resources; the policy lets exactly its own script and style run."""

    def __init__(self) -> None:
        style, script = source(_FOLDER / "page.css"), source(_FOLDER / "page.js")
        self._content = render_page(_FOLDER / "page.html.j2", style=style, script=script)
        policy = (
            f"default-src 'none'; script-src {policy_hash(script)}; style-src {policy_hash(style)}; "
            "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        self._headers = HEADERS | {"Content-Security-Policy": policy}

    async def answer(self, _: Request) -> Response:
        return HTMLResponse(self._content, headers=self._headers)


class _Metrics:
    def __init__(self, source: Source) -> None:
        self._metrics = source.metrics

    async def answer(self, _: Request) -> Response:
        return Response(self._metrics.render(), headers={"Content-Type": CONTENT_TYPE_LATEST})


class _Health:
    def __init__(self, source: Source) -> None:
        self._source = source
        self._checked = -READY_SECONDS
        self._problem: str | None = None

    async def alive(self, _: Request) -> Response:
        """Whether the loops move: if not, only a restart helps."""
        silent = self._source.status.silent_loops(SILENT_SECONDS)
        if silent:
            message = f"hanging for more than {SILENT_SECONDS:.0f} s: {', '.join(silent)}"
            return json_answer({"status": "failing", "error": message}, 503)
        return json_answer({"status": "ok"})

    async def ready(self, _: Request) -> Response:
        """Whether drops can be taken: the store can be read and written."""
        present = time.monotonic()
        if present - self._checked >= READY_SECONDS:  # the check writes: a probe a second shall not wear the store out
            self._problem = await run_in_threadpool(self._check)
            self._checked = present
        if self._problem is not None:
            return json_answer({"status": "not ready", "error": self._problem}, 503)
        return json_answer({"status": "ok"})

    def _check(self) -> str | None:
        try:
            self._source.objects.check()
        except StoreError as error:
            return str(error)
        return None


class _Api:
    def __init__(self, source: Source) -> None:
        self._source = source

    async def status(self, _: Request) -> Response:
        """See ``Status.snapshot``."""
        return json_answer(self._source.status.snapshot())


async def _http_error(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    known = isinstance(error, HTTPException) and error.detail not in {"Not Found", "Method Not Allowed"}
    message = {
        404: f"there is nothing at {request.url.path}: see /, /api/status, /api/versions, /metrics, /healthz, /readyz",
        405: f"{request.method} is not possible here: most is read with GET, classes are changed below /api/classes",
    }.get(0 if known else status, str(getattr(error, "detail", error)))
    return json_answer({"error": message}, status)


async def _store_error(_: Request, error: Exception) -> Response:
    return json_answer({"error": str(error)}, 503)
