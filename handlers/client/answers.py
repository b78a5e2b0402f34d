"""An answer without what was asked for, in words: what the server said, what its status means, what helps."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

import httpx

from handlers.client.visible import visible

_SHOWN: Final = 200
"""Characters of an answer that has no sentence of its own."""
_MEANINGS: Final[Mapping[int, str]] = {
    401: "it wants a key or a token",
    403: "it takes this from others only: ask on the machine of the service, or see who may in its settings",
    404: "there is no such address: is it another server, or one before the service that knows other paths?",
    408: "the request took too long to arrive: try again, or send something smaller",
    411: "a proxy wants to know the length first: ask the service itself",
    413: "what was sent is larger than the service (serving.max_request_mb), or a proxy before it, takes: "
    "send something smaller, or raise the limit of both",
    429: "it has too much to do: try again in a while",
    500: "it failed: see its log",
    502: "a proxy reached no service: see whether it runs (`lucir status`)",
    503: "it has nothing to answer with yet, or too much to do: try again in a while, and see `lucir status`",
    504: "a proxy waited too long for the service: try again, and see `lucir status`",
}
_OTHERS: Final = "see whether this is the address of the service"


def document_of(response: httpx.Response) -> dict[str, Any]:
    """The JSON object of an answer; empty where the answer is none."""
    try:
        document = response.json()
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def in_words(response: httpx.Response, remedies: Mapping[int, str] | None = None) -> str:
    """One line about an answer that is of no use. ``remedies``: by status, what to do besides what the server says."""
    document = document_of(response)
    status, remedy = response.status_code, (remedies or {}).get(response.status_code)
    sentence = document.get("error") or document.get("message")
    if isinstance(sentence, str) and not response.is_success:
        return f"{sentence}; {remedy}" if remedy else sentence
    return f"the service answered {status}: {_body(response) or _phrase(status)}; {remedy or _meaning(response)}"


def _body(response: httpx.Response) -> str:
    """Its beginning, where a person can read it: no page, no JSON."""
    kind = response.headers.get("content-type", "").partition(";")[0]
    text = visible(" ".join(response.text.split()))
    return "" if kind in {"text/html", "application/json"} or text.startswith(("<", "{", "[")) else text[:_SHOWN]


def _meaning(response: httpx.Response) -> str:
    if response.is_redirect:
        return f"it sends elsewhere: use the address {visible(response.headers['location'])[:_SHOWN]}"
    return _MEANINGS.get(response.status_code, _OTHERS)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:  # a status of a server's own making
        return "nothing more"
