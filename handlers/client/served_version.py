"""Which version is served: moving the pointer back, waiting until the running server has followed."""

import time
from dataclasses import dataclass

import httpx

from handlers.bucket.pointer_move import PointerMove, RefusedVersionError, move_pointer
from handlers.client.addresses import check_headers, get_status, no_answer, open_http
from handlers.client.answers import document_of, in_words
from handlers.client.errors import ClientError
from model_store.objects import ObjectStore

POLL_SECONDS = 0.25


@dataclass(frozen=True)
class RolledBack(PointerMove):
    """``served`` is None where no stack of this machine works on the store: others follow the pointer, or will."""

    served: int | None = None


def move_back(objects: ObjectStore, version: int, *, force: bool) -> RolledBack:
    """Point every server to ``version``, whose files are verified first.

    Raises ``StoreError`` for a version that does not exist or is damaged, ``ClientError`` for one that the gate
    refused, unless ``force``.
    """
    try:
        moved = move_pointer(objects, version, force=force)
    except RefusedVersionError as error:
        raise ClientError(f"{error}; to serve it all the same: lucir rollback {version} --force") from None
    return RolledBack(**vars(moved))


def ask_back(url: str, version: int, *, force: bool, token: str | None) -> RolledBack:
    """The same, asked of the updater at ``url`` (for clients without access to the store). Raises ``ClientError``."""
    headers = {"authorization": f"Bearer {token}"} if token else {}
    check_headers(headers)
    try:
        with open_http(url) as session:
            answer = session.post("/api/rollback", json={"to": version, "force": force}, headers=headers)
    except httpx.HTTPError as error:
        raise no_answer(url, error) from None
    if not answer.is_success:
        raise ClientError(in_words(answer, {401: "give the client the updater's token: Client(..., token=...)"}))
    document = document_of(answer)
    if not all(name in document for name in ("version", "previous", "forced")):
        raise ClientError(f"{url} answered without saying what it did; is this the updater's address?")
    return RolledBack(document["version"], document["previous"], document["forced"])


def wait_served(url: str, version: int, timeout: float) -> int:
    """The served version, once it is ``version``. Raises ``ClientError`` after ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        status = get_status(url)
        if status["served_version"] == version:
            return version
        if time.monotonic() > deadline:
            reason = status["server_error"] or "see `lucir status`"
            raise ClientError(f"the pointer was moved, but version {version} is not served yet: {reason}")
        time.sleep(POLL_SECONDS)
