"""HTTP for reports: the page at ``/versions/<n>/report``, its figures at ``/api/versions/<n>/report``."""

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from handlers.bucket.reports import read_page, read_report
from handlers.sidecar.http import HEADERS, json_answer
from handlers.updater.http.query import found_or_404
from handlers.updater.release.report.html import policy_of
from model_store.versions import VersionStore


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
        content = await found_or_404(read_page, self._versions, request.path_params["number"])
        headers = HEADERS | {"Content-Security-Policy": policy_of(content.decode(errors="replace"))}
        return HTMLResponse(content, headers=headers)

    async def figures(self, request: Request) -> Response:
        """The same for programs."""
        report = await found_or_404(read_report, self._versions, request.path_params["number"])
        return json_answer(report.model_dump(mode="json"))
