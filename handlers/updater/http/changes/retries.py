"""HTTP for trying a rejected file again: ``POST /api/rejected/retry``."""

import hashlib
from contextlib import suppress

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from handlers.bucket.dropped_names import why_left_alone
from handlers.bucket.layout import INCOMING, READY_MARKER, REASON_SUFFIX, REJECTED, safe_segment, split_incoming
from handlers.bucket.update_documents import Reason
from handlers.sidecar.http import json_answer
from handlers.updater.http.changes.access import check_access
from handlers.updater.http.changes.bodies import Body, read_json
from handlers.updater.http.changes.uploads import checked_class
from handlers.updater.http.query import stored_key
from handlers.updater.http.source import Source
from model_store.documents import CorruptVersionError, parse
from model_store.objects import (
    READ_LIMIT,
    ObjectNotFoundError,
    ObjectStore,
    ObjectTooLargeError,
    PreconditionFailedError,
    find,
)

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
            key, name = await run_in_threadpool(move_back, self._objects, stored_key(body.key), body.class_name)
        except ObjectNotFoundError:
            raise HTTPException(404, f"there is no file {body.key[:200]!r}: see /api/rejected") from None
        return json_answer({"key": key, "class": name}, 202)


def move_back(objects: ObjectStore, rejected: str, class_name: str | None = None) -> tuple[str, str]:
    """Move a rejected file back into ``incoming/``; return its key there and its class.

    Moves first: until the file has moved its reason stays beside it. Raises ``ObjectNotFoundError``, and an
    ``HTTPException`` for a name that no class may have, where another file has its key, and while the same file lies
    where it was dropped: an update that was cut short between its copy and its deletion moves it once more.
    """
    found = objects.stat(rejected)
    reason = _reason(objects, rejected)
    if reason is not None and _lies_there(objects, reason, found.size):
        raise HTTPException(409, f"the same file lies there as {reason.key!r} still: try again when it has been moved")
    name = checked_class(class_name if class_name is not None else _class_folder(rejected, reason))
    key = _free_key(name, rejected)
    try:
        objects.move(rejected, key, only_if_absent=True)
    except PreconditionFailedError:
        raise HTTPException(
            409,
            f"another file waits as {key!r}: nothing was moved, try again when that one has been learnt or rejected",
        ) from None
    objects.delete(rejected + REASON_SUFFIX)
    objects.write(f"{INCOMING}{name}/{READY_MARKER}", b"")
    return key, name


def _reason(objects: ObjectStore, rejected: str) -> Reason | None:
    try:
        data = objects.read(rejected + REASON_SUFFIX, limit=REASON_LIMIT)
        return parse(Reason, data, rejected + REASON_SUFFIX, "name the class")
    except (ObjectNotFoundError, CorruptVersionError):
        return None


def _lies_there(objects: ObjectStore, reason: Reason, size: int) -> bool:
    original = find(objects, reason.key)
    if original is None or original.size != size or size > READ_LIMIT:
        return False
    with suppress(ObjectNotFoundError, ObjectTooLargeError):  # it went, or grows: it is another one
        return hashlib.sha256(objects.read(reason.key)).hexdigest() == reason.sha256
    return False


def _class_folder(rejected: str, reason: Reason | None) -> str:
    """Where the file was dropped, by its reason, else by where it lies now."""
    if reason is not None:
        return split_incoming(reason.key)[0]
    return rejected.removeprefix(REJECTED).partition("/")[2].partition("/")[0]


def _free_key(name: str, rejected: str) -> str:
    """No other rejected file's: it has a hash of the whole key beside the update and the file's name.

    Not the key itself, which would grow each time that the file is rejected and tried again.
    """
    update, file = rejected.removeprefix(REJECTED).partition("/")[0], rejected.rpartition("/")[2]
    if (reason := why_left_alone(file)) is not None:
        raise HTTPException(400, f"{rejected[:200]!r} would be left alone in {INCOMING}: {reason}; rename it")
    digest = hashlib.sha256(rejected.encode(errors="surrogatepass")).hexdigest()[:32]
    return f"{INCOMING}{name}/{FOLDER}/{safe_segment(update)}/{digest}/{safe_segment(file)}"
