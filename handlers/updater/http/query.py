"""Reading numbers, names and keys from what is asked, and what they stand for."""

from collections.abc import Callable
from typing import Any, TypeVar

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request

from handlers.bucket.reports import NoReportError
from model_store.documents import VersionNotFoundError
from model_store.keys import check_key
from model_store.objects import InvalidKeyError

LONGEST_SEGMENT, LONGEST_KEY = 255, 1024
"""Bytes: no folder takes longer names, no bucket longer keys."""
_Answer = TypeVar("_Answer")


def whole(request: Request, name: str, *, least: int = 1) -> int | None:
    """A whole number; None where it is not given. Raises ``HTTPException`` (400)."""
    text = request.query_params.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) >= least):
        raise HTTPException(400, f"{name} is {text[:40]!r}: give a whole number from {least} up")
    return int(text)


def names(request: Request, name: str) -> frozenset[str] | None:
    """Names with commas between them; None where they are not given."""
    text = request.query_params.get(name)
    return None if text is None else frozenset(part.strip() for part in text.split(","))


def stored_key(key: str) -> str:
    """A key that an object may have. Raises ``InvalidKeyError`` (400); a bucket's server may say less, or nothing."""
    size, segment = len(key.encode()), max(len(part.encode()) for part in key.split("/"))
    if size > LONGEST_KEY or segment > LONGEST_SEGMENT:
        raise InvalidKeyError(
            f"{key[:200]!r} is not a key: it has {size} bytes, {segment} in one segment; {LONGEST_KEY} and "
            f"{LONGEST_SEGMENT} are the most"
        )
    return check_key(key)


async def found_or_404(read: Callable[..., _Answer], *arguments: Any) -> _Answer:
    """``read(*arguments)``, in a thread. Raises ``HTTPException`` (404) for a version or a report that is not there."""
    try:
        return await run_in_threadpool(read, *arguments)
    except (VersionNotFoundError, NoReportError) as error:
        raise HTTPException(404, str(error)) from None
