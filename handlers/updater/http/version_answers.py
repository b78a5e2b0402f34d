"""HTTP for versions: ``/api/versions`` (all, the newest few, some of their fields) and ``/api/versions/<n>``."""

from collections.abc import Set
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from handlers.updater.http.cached import tagged_json
from handlers.updater.http.query import found_or_404, names, whole
from handlers.updater.http.source import Source

ALWAYS = ("version", "error")
"""Fields that are answered whatever ``?fields=`` says."""


class VersionApi:
    """The calls; ``routes`` puts them below ``/api``."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def routes(self) -> list[Route]:
        """For the application."""
        return [Route("/api/versions", self.list), Route("/api/versions/{number:int}", self.one)]

    async def list(self, request: Request) -> Response:
        """Versions, ascending; ``current`` and ``served`` are numbers or null.

        ``?limit=N``: the newest N, and ``total`` says how many there are; with ``before=M`` the newest N below M.
        ``?fields=a,b``: only these of each version.
        """
        limit, before = whole(request, "limit"), whole(request, "before")
        fields = names(request, "fields")
        snapshot = self._source.status.snapshot()
        current = snapshot["current_version"]
        known = await run_in_threadpool(self._source.view.numbers, current)
        chosen = [number for number in known if before is None or number < before]
        found = await run_in_threadpool(self._source.view.describe, current, chosen[-limit:] if limit else chosen)
        content = {
            "current": current,
            "served": snapshot["served_version"],
            "versions": [_only(one, fields) for one in found],
            **({"total": len(known)} if limit else {}),
        }
        return await run_in_threadpool(tagged_json, request, content)

    async def one(self, request: Request) -> Response:
        """Everything about one version; ``?fields=`` as for the list."""
        fields = names(request, "fields")
        found = await found_or_404(self._source.view.one, request.path_params["number"])
        return await run_in_threadpool(tagged_json, request, _only(found, fields))


def _only(version: dict[str, Any], fields: Set[str] | None) -> dict[str, Any]:
    """The version with these fields; a damaged one has none of them but its number and error."""
    if fields is None:
        return version
    unknown = fields - version.keys() - set(ALWAYS)
    if unknown and "error" not in version:
        known = ", ".join(sorted(version))
        raise HTTPException(400, f"fields names {', '.join(sorted(unknown))}, which no version has: choose of {known}")
    return {name: value for name, value in version.items() if name in fields or name in ALWAYS}
