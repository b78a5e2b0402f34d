"""HTTP for labelled folders: ``PUT /api/incoming/<class>/<path>``, one file a request, ``_READY`` last.

The rules are those of ``lucir drop``: image files only, hidden ones left out, names made safe for any store. A path
begins with a folder of the drop's own; under a key that is taken only the same file may come again.
"""

import asyncio
import tempfile
from contextlib import suppress
from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from handlers.bucket.dropped_names import class_name, why_left_alone
from handlers.bucket.layout import INCOMING, LONGEST_KEY, READY_MARKER, has_image_suffix, safe_segment
from handlers.inference.formats import IMAGE_KINDS, recognise
from handlers.sidecar.http import json_answer
from handlers.updater.http.changes.access import FILE, check_access
from handlers.updater.http.changes.bodies import parts
from handlers.updater.http.source import Source
from model_store.local_files import holds
from model_store.manifest import now
from model_store.objects import ObjectNotFoundError, ObjectStore, PreconditionFailedError

HEAD = 64
"""Bytes from which the kind of a file is told."""
AT_ONCE = 8
"""Uploads that are written at the same time; more wait."""
PUT_ATTEMPTS = 3
"""How often a key is tried under which something lies, and is gone when it is looked at."""


class UploadApi:
    """The calls; ``routes`` puts them below ``/api``."""

    def __init__(self, source: Source) -> None:
        self._objects = source.objects
        self._limits = source.settings.images
        self._token = source.settings.updater.secret_token()
        self._turns = asyncio.Semaphore(AT_ONCE)

    def routes(self) -> list[Route]:
        """For the application."""
        return [
            Route("/api/incoming/{name}/retry", self.retry, methods=["POST"]),
            Route("/api/incoming/{name}/{path:path}", self.put, methods=["PUT"]),
        ]

    async def put(self, request: Request) -> Response:
        """Store an image, or the marker that says that the class is complete; 201 with its key."""
        check_access(request, self._token, FILE)
        name = checked_class(request.path_params["name"])
        path = request.path_params["path"]
        if path == READY_MARKER:
            return await self._mark(name)
        key = _image_key(name, path)
        async with self._turns:
            with tempfile.TemporaryDirectory(prefix="lucir-") as folder:
                file = Path(folder) / "upload"
                await self._receive(request, file)
                _check_kind(path, file)
                await run_in_threadpool(_put, self._objects, key, file)
        return json_answer({"key": key, "class": name}, 201)

    async def retry(self, request: Request) -> Response:
        """Learn a folder that was set aside: its marker is written again, so that its content counts as changed."""
        check_access(request, self._token)
        name = checked_class(request.path_params["name"])
        if not await run_in_threadpool(self._holds_files, name):
            raise HTTPException(404, f"there is nothing in {INCOMING}{name}/")
        content = f"tried again {now().isoformat()}\n".encode()
        await run_in_threadpool(self._objects.write, f"{INCOMING}{name}/{READY_MARKER}", content)
        return json_answer({"class": name}, 202)

    async def _mark(self, name: str) -> Response:
        if not await run_in_threadpool(self._holds_files, name):
            raise HTTPException(409, f"no image of {name!r} has arrived: send them before {READY_MARKER}")
        key = f"{INCOMING}{name}/{READY_MARKER}"
        await run_in_threadpool(self._objects.write, key, b"")
        return json_answer({"key": key, "class": name}, 201)

    def _holds_files(self, name: str) -> bool:
        prefix = f"{INCOMING}{name}/"
        return any(info.key != prefix + READY_MARKER for info in self._objects.list(prefix))

    async def _receive(self, request: Request, file: Path) -> None:
        limit = self._limits.max_bytes
        try:
            with file.open("wb") as out:
                async for part in parts(request, limit, f"the file is larger than {limit} bytes (images.max_bytes)"):
                    out.write(part)
                size = out.tell()
        except OSError as error:
            raise HTTPException(507, f"the file cannot be kept for a moment: {error.strerror}; free space") from error
        if not size:
            raise HTTPException(400, "the file is empty")


def _put(objects: ObjectStore, key: str, file: Path) -> None:
    """Write the file where nothing lies, or the same file: whoever heard no answer sends it again.

    Raises ``HTTPException`` where another one waits.
    """
    for _ in range(PUT_ATTEMPTS):
        try:
            objects.upload(key, file, only_if_absent=True)
            return
        except PreconditionFailedError:
            with suppress(ObjectNotFoundError):  # it has been taken up meanwhile
                if holds(objects, key, file):
                    return
                break
    raise HTTPException(409, f"another file waits as {key!r}: nothing was replaced; send yours under another name")


def checked_class(name: str) -> str:
    """The class that a folder stands for. Raises ``HTTPException`` (400)."""
    try:
        return class_name(name)
    except ValueError as error:
        raise HTTPException(400, f"class: {error}; choose another name") from None


def _image_key(name: str, path: str) -> str:
    segments = path.split("/")
    reason = "a folder without a name" if "" in segments else why_left_alone(path)
    if reason is not None:
        raise HTTPException(400, f"{path!r} is left out: {reason}")
    key = f"{INCOMING}{name}/{'/'.join(map(safe_segment, segments))}"
    if len(key.encode()) > LONGEST_KEY:
        raise HTTPException(400, f"the path has {len(path)} characters, which is too long: use fewer folders")
    return key


def _check_kind(path: str, file: Path) -> None:
    """By its content; a damaged image still by its name, so that the updater says what is wrong with it."""
    with file.open("rb") as start:
        if recognise(start.read(HEAD)) not in IMAGE_KINDS and not has_image_suffix(path):
            raise HTTPException(415, f"{path!r} is left out: it is not an image")
