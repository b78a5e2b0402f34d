"""HTTP for what a person may change: each call writes down a request, answers 202, and never waits for the work."""

from collections.abc import Callable
from typing import Any

from pydantic import Field, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from handlers.bucket.edit_documents import DeleteImages, Merge, Operation, Relearn, Remove, Rename
from handlers.bucket.edit_rules import EditError
from handlers.sidecar.http import json_answer
from handlers.updater.http.changes.access import check_access
from handlers.updater.http.changes.bodies import Body, explain, read_json
from handlers.updater.http.source import Source


class _RenameBody(Body):
    to: str


class _MergeBody(Body):
    classes: tuple[str, ...] = Field(min_length=1)
    into: str


class _RelearnBody(Body):
    classes: tuple[str, ...] = ()
    preset: str | None = None
    overrides: dict[str, Any] = Field(default_factory=dict)


class EditApi:
    """The calls; ``routes`` puts them below ``/api``."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._token = source.settings.updater.secret_token()

    def routes(self) -> list[Route]:
        """For the application."""
        return [
            Route("/api/classes/merge", self.merge, methods=["POST"]),
            Route("/api/classes/{name}/rename", self.rename, methods=["POST"]),
            Route("/api/classes/{name}", self.remove, methods=["DELETE"]),
            Route("/api/images/{sha256}", self.delete_image, methods=["DELETE"]),
            Route("/api/relearn", self.relearn, methods=["POST"]),
            Route("/api/requests/{id}", self.request),
        ]

    async def rename(self, request: Request) -> Response:
        """``{"to": "new name"}``."""
        check_access(request, self._token)
        body = await read_json(request, _RenameBody)
        return await self._submit(lambda: Rename(name=request.path_params["name"], to=body.to))

    async def merge(self, request: Request) -> Response:
        """``{"classes": ["a", "b"], "into": "c"}``."""
        check_access(request, self._token)
        body = await read_json(request, _MergeBody)
        return await self._submit(lambda: Merge(names=body.classes, into=body.into))

    async def remove(self, request: Request) -> Response:
        """``?originals=delete`` deletes the stored originals as well."""
        check_access(request, self._token)
        originals = request.query_params.get("originals", "keep")
        if originals not in {"keep", "delete"}:
            raise HTTPException(400, f"originals is keep or delete, not {originals!r}")
        name = request.path_params["name"]
        return await self._submit(lambda: Remove(name=name, delete_originals=originals == "delete"))

    async def delete_image(self, request: Request) -> Response:
        """One image, by the sha256 of its file."""
        check_access(request, self._token)
        return await self._submit(lambda: DeleteImages(hashes=(request.path_params["sha256"].lower(),)))

    async def relearn(self, request: Request) -> Response:
        """``{"classes": ["cat"]}`` or ``{"preset": "photo"}``."""
        check_access(request, self._token)
        body = await read_json(request, _RelearnBody)
        return await self._submit(lambda: Relearn(**body.model_dump()))

    async def request(self, request: Request) -> Response:
        """How far a request is."""
        try:
            state = await run_in_threadpool(self._source.edits.state, request.path_params["id"])
        except ValueError as error:
            raise HTTPException(404, str(error)) from None
        if state.state == "unknown":
            raise HTTPException(404, f"there is no request {request.path_params['id']}")
        return json_answer(state.model_dump(mode="json"))

    async def _submit(self, make: Callable[[], Operation]) -> Response:
        try:
            made = await run_in_threadpool(self._source.edits.submit, make())
        except ValidationError as error:
            raise HTTPException(400, explain(error)) from None
        except EditError as error:
            raise HTTPException(409, str(error)) from None
        content = {"request": made.id, "operation": str(made.operation), "state": f"/api/requests/{made.id}"}
        return json_answer(content, 202)
