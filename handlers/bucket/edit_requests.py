"""Where requests are handed in and taken up: ``requests/<id>.json`` in the store, durable before anybody is told.

Looking for requests costs an idle updater one question about one object, ``requests/last.json``, which every new
request replaces; only then the folder is listed.
"""

import logging
import re
import secrets
import threading
import time
from typing import Literal

from handlers.bucket.edit_documents import ANSWER, EditAnswer, EditRequest, Operation
from handlers.bucket.edit_rules import checked
from handlers.bucket.update_documents import Done, Intent
from handlers.bucket.updates import DONE, UpdateRecords
from model_store.documents import CorruptVersionError, encode, parse
from model_store.manifest import Document, StoredDocument, now
from model_store.objects import (
    ObjectNotFoundError,
    ObjectStore,
    StoreError,
    StoreUnavailableError,
    exists,
    tag_of,
)
from model_store.versions import VersionStore

logger = logging.getLogger(__name__)

REQUESTS = "requests/"
BELL = f"{REQUESTS}last.json"
REQUEST_LIMIT = 16 * 1024 * 1024
SEARCHED = 200
"""Newest updates that a request is looked for among: anybody may ask, and each is read."""
_ID = re.compile(r"[0-9]{6,}-[0-9]{13}-[0-9a-f]{8}")


class Bell(StoredDocument):
    """``requests/last.json``: the newest request."""

    id: str


class RequestState(Document):
    """How far a request is."""

    state: Literal["waiting", "running", "done", "unknown"]
    update_id: str | None = None
    done: Done | None = None
    answer: EditAnswer | None = None


class EditDesk:
    """Thread-safe where it is used from several threads (``submit``, ``state``); the rest is the main loop's."""

    def __init__(self, objects: ObjectStore, records: UpdateRecords, poll_seconds: float = 5.0) -> None:
        self._objects = objects
        self._records = records
        self._versions = VersionStore(objects)
        self._poll_seconds = poll_seconds
        self._woken = threading.Event()
        self._woken.set()
        self._looked = -poll_seconds
        self._heard: str | None = None

    def submit(self, operation: Operation) -> EditRequest:
        """Write down a request, checked against the classes of the current version. Raises ``EditError``."""
        pointer = self._versions.current()
        classes = self._versions.manifest(pointer.version).classes if pointer is not None else ()
        request = self.made(checked(operation, classes))
        self._objects.write(_key(request.id), encode(request), only_if_absent=True)
        self._objects.write(BELL, encode(Bell(id=request.id)))
        self._woken.set()
        logger.info("requested: %s", request.operation, extra={"request": request.id})
        return request

    def made(self, operation: Operation) -> EditRequest:
        """A request that nobody has handed in yet."""
        latest = self._records.latest() or "000000"
        request_id = f"{latest}-{time.time_ns() // 1_000_000:013d}-{secrets.token_hex(4)}"
        return EditRequest(id=request_id, created_at=now(), operation=operation)

    def pending(self) -> list[EditRequest]:
        """Requests that wait, oldest first; an object that is none is named in the log and left alone.

        Raises ``StoreUnavailableError``.
        """
        return self._read(self._listed())

    def next(self) -> EditRequest | None:
        """The oldest waiting request, if it is time to look and there is one. Raises ``StoreError``."""
        present = time.monotonic()
        if not self._woken.is_set() and present - self._looked < self._poll_seconds:
            return None
        woken = self._woken.is_set()
        self._woken.clear()
        self._looked = present
        try:
            heard = tag_of(self._objects, BELL)
            if not woken and heard == self._heard:
                return None
            listed = self._listed()
            unlisted = self._unlisted(listed) if heard is not None else []
            waiting = self._read([*listed, *unlisted])
        except StoreError:
            self._woken.set()  # nobody has looked
            raise
        if not unlisted:
            self._heard = heard
        return waiting[0] if waiting else None

    def _listed(self) -> list[str]:
        names = [info.key.removeprefix(REQUESTS).removesuffix(".json") for info in self._objects.list(REQUESTS)]
        return [name for name in names if _ID.fullmatch(name)]

    def _unlisted(self, listed: list[str]) -> list[str]:
        """The request that rang last where a listing, which may be older, does not show it yet."""
        try:
            bell = parse(
                Bell, self._objects.read(BELL, limit=REQUEST_LIMIT), f"{self._objects.url}/{BELL}", "remove it"
            )
        except (ObjectNotFoundError, CorruptVersionError):
            return []
        there = bell.id not in listed and _ID.fullmatch(bell.id) and exists(self._objects, _key(bell.id))
        return [bell.id] if there else []

    def _read(self, names: list[str]) -> list[EditRequest]:
        found = []
        for name in names:
            key = _key(name)
            try:
                data = self._objects.read(key, limit=REQUEST_LIMIT)
                request = parse(EditRequest, data, f"{self._objects.url}/{key}", "remove it and ask again")
            except ObjectNotFoundError:
                continue
            except StoreUnavailableError:
                raise  # it may be read in a moment
            except StoreError as error:
                logger.warning("a request is left alone: %s", error)
                continue
            if request.id == name:
                found.append(request)
        return sorted(found, key=lambda request: request.created_at)

    def rings(self) -> bool:
        """Whether something was requested since ``next`` looked; False also where the store does not answer."""
        try:
            return self._woken.is_set() or tag_of(self._objects, BELL) != self._heard
        except StoreError:
            return False

    def settle(self, intent: Intent | None, done: Done | None) -> None:
        """The newest update has ended: its request is over, unless another version got in between.

        Or it was over before: where the removal of the request got lost, it is taken up once more.
        """
        self._woken.set()
        if intent is None or intent.edit is None or done is None:
            return
        if done.result != "superseded" or self.done_by(intent) is not None:
            self._objects.delete(_key(intent.edit.id))

    def done_by(self, intent: Intent) -> str | None:
        """The earlier update that has done the same request, which an updater that slept has taken up once more."""
        if intent.edit is None:
            return None
        for number in range(_first(intent.edit.id, int(intent.id)), int(intent.id)):
            earlier = self._records.intent(f"{number:06d}")
            if earlier is None or earlier.edit is None or earlier.edit.id != intent.edit.id:
                continue
            done = self._records.done(earlier.id)
            if done is not None and done.result != "superseded":
                return earlier.id
        return None

    def state(self, request_id: str) -> RequestState:
        """How far a request is. Raises ``ValueError`` for what is not a request's id."""
        if not _ID.fullmatch(request_id):
            raise ValueError(f"{request_id!r} is not a request's id")
        newest, found = int(self._records.latest() or 0), RequestState(state="unknown")
        for number in range(_first(request_id, newest), newest + 1):
            intent = self._records.intent(f"{number:06d}")
            if intent is None or intent.edit is None or intent.edit.id != request_id:
                continue
            done = self._records.read(Done, intent.id, DONE)
            answer = self._records.read(EditAnswer, intent.id, ANSWER) if done is not None else None
            state: Literal["running", "done"] = "running" if done is None else "done"
            found = RequestState(state=state, update_id=intent.id, done=done, answer=answer)
            if done is not None and done.result != "superseded":
                break  # whoever took it up once more does nothing
        if found.state == "unknown" or (found.done is not None and found.done.result == "superseded"):
            return found if not exists(self._objects, _key(request_id)) else RequestState(state="waiting")
        return found


def _first(request_id: str, newest: int) -> int:
    """The number of the first update that may have done a request."""
    return max(int(request_id.split("-")[0]) + 1, newest - SEARCHED + 1)


def _key(request_id: str) -> str:
    return f"{REQUESTS}{request_id}.json"
