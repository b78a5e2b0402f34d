"""Edits on request: which images are meant, and waiting until a request has been carried out."""

import hashlib
import re
import time
from collections.abc import Sequence
from pathlib import Path

from handlers.bucket.edit_documents import MOST_IMAGES
from handlers.bucket.edit_requests import EditDesk, RequestState
from handlers.bucket.layout import ARCHIVE, REJECTED
from handlers.client.errors import ClientError
from model_store.objects import ObjectNotFoundError, ObjectStore

POLL_SECONDS = 0.25
LARGEST = 1 << 30
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


def image_hashes(objects: ObjectStore, images: Sequence[str]) -> tuple[str, ...]:
    """The sha256 of each image, each once: a hash, a key below archive/ or rejected/, or a local copy of the file.

    Raises ``ClientError`` for anything else.
    """
    hashes = tuple(dict.fromkeys(_hash_of(objects, image) for image in images))
    if len(hashes) > MOST_IMAGES:
        raise ClientError(f"{len(hashes)} images at once; at most {MOST_IMAGES} are taken: split the list")
    return hashes


def _hash_of(objects: ObjectStore, image: str) -> str:
    if _SHA256.fullmatch(image):
        return image.lower()
    if image.startswith((ARCHIVE, REJECTED)):
        try:
            return hashlib.sha256(objects.read(image, limit=LARGEST)).hexdigest()
        except ObjectNotFoundError:
            raise ClientError(f"{image}: there is no such object in {objects.url}; look for its key there") from None
    path = Path(image)
    if not path.is_file():
        raise ClientError(f"{image} is neither a file here, nor a sha256, nor a key below archive/ or rejected/")
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def wait_done(desk: EditDesk, request_id: str, timeout: float) -> RequestState:
    """How the request ended. Raises ``ClientError`` after ``timeout`` seconds; the request stays in the store."""
    deadline = time.monotonic() + timeout
    while True:
        state = desk.state(request_id)
        if state.state == "done":
            return state
        if time.monotonic() > deadline:
            raise ClientError(
                f"it has not been done yet ({state.state}); the request stays in the store: is an updater running?"
            )
        time.sleep(POLL_SECONDS)
