"""HTTP for reports: the page at ``/versions/<n>/report``, its figures at ``/api/versions/<n>/report``."""

from collections.abc import Callable
from typing import TypeVar

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from handlers.bucket.reports import NoReportError, read_page, read_report
from handlers.sidecar.http import HEADERS, json_answer
from handlers.updater.release.report.html import policy_of
from model_store.documents import VersionNotFoundError
from model_store.versions import VersionStore

_Answer = TypeVar("_Answer")


class ReportApi:
    """Two pages that only read."""

    def __init__(self, versions: VersionStore) -> None:
        self._versions = versions

    def routes(self) -> list[Route]:
        """For the application."""
        return [
            Route("/versions/{number:int}/report", self.page),
            Route("/api/versions/{number:int}/report", self.figures),
        ]

    async def page(self, request: Request) -> Response:
        """The report for people."""
        content = await self._read(read_page, request)
        headers = HEADERS | {"Content-Security-Policy": policy_of(content.decode(errors="replace"))}
        return HTMLResponse(content, headers=headers)

    async def figures(self, request: Request) -> Response:
        """The same for programs."""
        report = await self._read(read_report, request)
        return json_answer(report.model_dump(mode="json"))

    async def _read(self, read: Callable[[VersionStore, int], _Answer], request: Request) -> _Answer:
        try:
            return await run_in_threadpool(read, self._versions, request.path_params["number"])
        except (VersionNotFoundError, NoReportError) as error:
            raise HTTPException(404, str(error)) from None
