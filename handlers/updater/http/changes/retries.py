"""HTTP for trying a rejected file again: ``POST /api/rejected/retry``."""

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from handlers.bucket.layout import INCOMING, READY_MARKER, REASON_SUFFIX, REJECTED, safe_segment, split_incoming
from handlers.bucket.update_documents import Reason
from handlers.sidecar.http import json_answer
from handlers.updater.http.changes.access import check_access
from handlers.updater.http.changes.bodies import Body, read_json
from handlers.updater.http.changes.uploads import checked_class
from handlers.updater.http.source import Source
from model_store.documents import CorruptVersionError, parse
from model_store.objects import ObjectNotFoundError

FOLDER = "retried"
REASON_LIMIT = 64 * 1024


class _RetryBody(Body):
    key: str
    class_name: str | None = None


class RetryApi:
    """The call; ``routes`` puts it below ``/api``."""

    def __init__(self, source: Source) -> None:
        self._objects = source.objects
        self._token = source.settings.updater.secret_token()

    def routes(self) -> list[Route]:
        """For the application."""
        return [Route("/api/rejected/retry", self.retry, methods=["POST"])]

    async def retry(self, request: Request) -> Response:
        """``{"key": "rejected/000003/cat/1.jpg", "class_name": "cat"}``: back into ``incoming/``, complete at once.

        Without ``class_name`` the class is that of the folder in which the file was dropped.
        """
        check_access(request, self._token)
        body = await read_json(request, _RetryBody)
        if not body.key.startswith(REJECTED) or body.key.endswith(REASON_SUFFIX):
            raise HTTPException(400, f"{body.key[:200]!r} is not a file below {REJECTED}: see /api/rejected")
        try:
            key, name = await run_in_threadpool(self._move_back, body)
        except ObjectNotFoundError:
            raise HTTPException(404, f"there is no file {body.key[:200]!r}: see /api/rejected") from None
        return json_answer({"key": key, "class": name}, 202)

    def _move_back(self, body: _RetryBody) -> tuple[str, str]:
        """Move first: until the file has moved its reason stays beside it."""
        self._objects.stat(body.key)
        folder, path = self._origin(body.key)
        name = checked_class(body.class_name if body.class_name is not None else folder)
        update = body.key.removeprefix(REJECTED).partition("/")[0]
        key = f"{INCOMING}{name}/{FOLDER}/{update}/{safe_segment(path.replace('/', '-'))}"
        self._objects.move(body.key, key)
        self._objects.delete(body.key + REASON_SUFFIX)
        self._objects.write(f"{INCOMING}{name}/{READY_MARKER}", b"")
        return key, name

    def _origin(self, key: str) -> tuple[str, str]:
        """(class folder, path below it) where the file was dropped, by its reason, else by where it lies now."""
        try:
            data = self._objects.read(key + REASON_SUFFIX, limit=REASON_LIMIT)
            return split_incoming(parse(Reason, data, key + REASON_SUFFIX, "name the class").key)
        except (ObjectNotFoundError, CorruptVersionError):
            folder, _, path = key.removeprefix(REJECTED).partition("/")[2].partition("/")
            return folder, path
