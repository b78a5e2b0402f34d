"""Small copies of images, as WebP: of a version's exemplars, and of stored originals."""

import asyncio
import io
import json
from collections.abc import Callable
from pathlib import Path

from PIL import Image
from safetensors import safe_open
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from handlers.bucket.layout import ARCHIVE, REASON_SUFFIX, REJECTED
from handlers.inference.preprocess import BadImageError, decode
from handlers.updater.http.cached import tagged
from handlers.updater.http.images.version_files import VerifiedFiles
from handlers.updater.http.query import stored_key
from handlers.updater.http.source import Source
from model_store.documents import VersionNotFoundError
from model_store.layout import EXEMPLARS
from model_store.objects import ObjectNotFoundError, ObjectTooLargeError

SIDE = 112
"""Pixels of the longer side; a screen of twice the density shows 56 of its own."""
AT_ONCE = 2
"""Originals that are decoded at the same time: one of 50 million pixels takes 150 MB."""
LIFETIME = "private, max-age=600"


class ThumbnailApi:
    """The calls; ``routes`` puts them below ``/api``."""

    def __init__(self, source: Source, files: VerifiedFiles) -> None:
        self._objects = source.objects
        self._limits = source.settings.images
        self._files = files
        self._turns = asyncio.Semaphore(AT_ONCE)

    def routes(self) -> list[Route]:
        """For the application."""
        return [
            Route("/api/versions/{number:int}/exemplar", self.exemplar),
            Route("/api/thumbnail", self.original),
        ]

    async def exemplar(self, request: Request) -> Response:
        """``?class=cat&rank=0``: an exemplar, the most typical one first; 404 where there are not so many."""
        name, rank = request.query_params.get("class", ""), request.query_params.get("rank", "0")
        if not (rank.isascii() and rank.isdigit() and len(rank) < 8):
            raise HTTPException(400, f"rank is {rank[:40]!r}: give a whole number from 0 up")
        number = request.path_params["number"]
        return await self._answer(request, lambda: self._exemplar(number, name, int(rank)))

    async def original(self, request: Request) -> Response:
        """``?key=archive/000001/cat/1.jpg``: an original below ``archive/`` or ``rejected/``."""
        key = request.query_params.get("key", "")
        if not key.startswith((ARCHIVE, REJECTED)) or key.endswith(REASON_SUFFIX):
            raise HTTPException(404, f"there is no image {key[:200]!r}: name one below {ARCHIVE} or {REJECTED}")
        async with self._turns:
            return await self._answer(request, lambda: self._original(stored_key(key)))

    async def _answer(self, request: Request, make: Callable[[], bytes]) -> Response:
        try:
            body = await run_in_threadpool(make)
        except (VersionNotFoundError, ObjectNotFoundError) as error:
            raise HTTPException(404, str(error)) from None
        except (BadImageError, ObjectTooLargeError) as error:
            raise HTTPException(415, f"it cannot be shown: {error}") from None
        return tagged(request, body, "image/webp", lifetime=LIFETIME)

    def _exemplar(self, number: int, name: str, rank: int) -> bytes:
        found = self._files.read(number, EXEMPLARS, lambda path: read_exemplar(path, name, rank))
        if found is None:
            raise ObjectNotFoundError(f"version {number} has no exemplar {rank} of {name[:200]!r}")
        with Image.open(io.BytesIO(found)) as image:
            return small(image.convert("RGB"))

    def _original(self, key: str) -> bytes:
        return small(decode(self._objects.read(key, limit=self._limits.max_bytes), self._limits))


def read_exemplar(path: Path, name: str, rank: int) -> bytes | None:
    """The PNG file of one exemplar, in herding order; None where there is none. As ``read_exemplars``."""
    return next(iter(read_exemplars(path, name, rank, rank + 1)), None)


def read_exemplars(path: Path, name: str, first: int = 0, end: int | None = None) -> list[bytes]:
    """The PNG files of a class, in herding order, from ``first`` on and below ``end``, without reading the others.

    path: as ``lucir_core.memory.image_blobs`` writes it.
    """
    with safe_open(path, framework="numpy") as file:
        classes = json.loads(file.metadata()["classes"])
        if name not in classes:
            return []
        rows = (file.get_tensor("labels") == classes.index(name)).nonzero()[0][first:end]
        offsets, data = file.get_tensor("offsets"), file.get_slice("data")
        return [data[offsets[row] : offsets[row + 1]].tobytes() for row in rows.tolist()]


def small(image: Image.Image) -> bytes:
    """An RGB image as a WebP file of at most ``SIDE`` pixels; a smaller image is not enlarged."""
    image = image.copy()
    image.thumbnail((SIDE, SIDE))
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=75, method=2)
    return buffer.getvalue()
