"""A request as an engine received it, and its answer: what goes in and out of ``answering``, without its runtime."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from handlers.inference.workers.batch_reports import GivenAnswer

READABLE_HEADERS: Final = ("authorization", "content-type", "top-k", "x-api-key", "x-request-id", "x-top-k")
"""Headers that a web page of another origin may send."""
_ENCODER: Final = json.JSONEncoder(ensure_ascii=False)


class RawRequest(NamedTuple):
    """A request as an engine received it: the fields of a form or the whole ``body``, and its headers."""

    fields: Mapping[str, Any]
    headers: Mapping[str, Any]


class Reply(NamedTuple):
    """An HTTP status and a JSON document, encoded."""

    status: int
    body: bytes
    answers: tuple[GivenAnswer, ...] = ()
    """What the model said of the images that could be read: for the metrics."""


def error_reply(status: int, message: str) -> Reply:
    """The form of every answer that is not a classification."""
    return Reply(status, encode({"error": message}))


def encode(document: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> bytes:
    """JSON in UTF-8; half of a surrogate pair, which JSON can name and UTF-8 cannot, as JSON's escape."""
    return _ENCODER.encode(document).encode("utf-8", "backslashreplace")
