"""HTTP for images that answers were unsure of: ``/api/unsure`` lists them, a label makes one training data.

They are other people's images: only whoever may change something sees them.
"""

import asyncio

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from handlers.bucket.corrections import put_correction
from handlers.inference.preprocess import BadImageError, decode, file_suffix
from handlers.labelling.unsure_images import UnsureImages, UnsureRules
from handlers.sidecar.http import HEADERS, json_answer
from handlers.updater.http.changes.access import check_access, check_sender
from handlers.updater.http.changes.bodies import Body, read_json
from handlers.updater.http.changes.uploads import checked_class
from handlers.updater.http.images.thumbnails import AT_ONCE, small
from handlers.updater.http.query import whole
from handlers.updater.http.source import Source

LISTED = 100


class _LabelBody(Body):
    class_name: str


class LabelApi:
    """The calls; ``routes`` puts them below ``/api``."""

    def __init__(self, source: Source) -> None:
        self._objects = source.objects
        self._limits = source.settings.images
        self._token = source.settings.updater.secret_token()
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._unsure = UnsureImages(UnsureRules.of(source.settings.labelling, source.settings.data))

    def routes(self) -> list[Route]:
        """For the application."""
        return [
            Route("/api/unsure", self.list),
            Route("/api/unsure/{id}/thumbnail", self.thumbnail),
            Route("/api/unsure/{id}/label", self.label, methods=["POST"]),
            Route("/api/unsure/{id}", self.dismiss, methods=["DELETE"]),
        ]

    async def list(self, request: Request) -> Response:
        """The newest first, ``?limit=`` of them; ``on``: whether any are kept (``labelling.keep_images``)."""
        check_sender(request, self._token)
        limit = whole(request, "limit") or LISTED
        try:
            found = await run_in_threadpool(self._unsure.newest, limit)
        except OSError as error:
            remedy = "engine and updater must run as the same user on the same data folder"
            raise HTTPException(503, f"images to label cannot be read: {error}; {remedy}") from None
        return json_answer({"on": self._unsure.on, "images": [one.document() for one in found]})

    async def thumbnail(self, request: Request) -> Response:
        """An image as a small WebP image."""
        check_sender(request, self._token)
        data = await self._data(request)
        try:
            async with self._turns:
                body = await run_in_threadpool(lambda: small(decode(data, self._limits)))
        except BadImageError as error:
            raise HTTPException(415, f"it cannot be shown: {error}") from None
        return Response(body, media_type="image/webp", headers=HEADERS)

    async def label(self, request: Request) -> Response:
        """``{"class_name": "cat"}``: the image is learnt as this class, and leaves the list."""
        check_access(request, self._token)
        body = await read_json(request, _LabelBody)
        name = checked_class(body.class_name)
        data = await self._data(request)
        try:
            suffix = await run_in_threadpool(file_suffix, data, self._limits)
        except BadImageError as error:
            raise HTTPException(415, str(error)) from None
        key = await run_in_threadpool(put_correction, self._objects, name, data, suffix)
        await run_in_threadpool(self._unsure.remove, request.path_params["id"])
        return json_answer({"key": key, "class": name}, 202)

    async def dismiss(self, request: Request) -> Response:
        """The image is deleted from this machine, and not learnt."""
        check_access(request, self._token)
        if not await run_in_threadpool(self._unsure.remove, request.path_params["id"]):
            raise self._gone(request)
        return json_answer({"id": request.path_params["id"]})

    async def _data(self, request: Request) -> bytes:
        data = await run_in_threadpool(self._unsure.data, request.path_params["id"])
        if data is None:
            raise self._gone(request)
        return data

    @staticmethod
    def _gone(request: Request) -> HTTPException:
        return HTTPException(404, f"there is no image {request.path_params['id'][:80]!r} to label: see /api/unsure")
