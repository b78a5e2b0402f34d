"""Answers with an ``ETag``, and 304 for a client that has the content already."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from handlers.sidecar.http import HEADERS

REVALIDATE = "private, no-cache"
"""Kept by the browser, which asks each time whether it is still the same."""
FOREVER = "private, max-age=31536000, immutable"
"""For addresses whose content never changes."""


def tagged_json(request: Request, content: Mapping[str, Any]) -> Response:
    """A JSON document, or 304 without a body. Takes a moment for a large one: call it in a thread."""
    body = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
    return tagged(request, body, "application/json")


def tagged(request: Request, body: bytes, media_type: str, *, lifetime: str = REVALIDATE) -> Response:
    """A body with its tag, or 304 without it. The tag is a weak one: compressing keeps it."""
    tag = f'W/"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = HEADERS | {"Cache-Control": lifetime, "ETag": tag}
    if matches(request, tag):
        return Response(status_code=304, headers=headers)
    return Response(body, media_type=media_type, headers=headers)


def matches(request: Request, tag: str) -> bool:
    """Whether the client says that it has this content (``If-None-Match``)."""
    sent = [one.strip().removeprefix("W/") for one in request.headers.get("if-none-match", "").split(",")]
    return "*" in sent or tag.removeprefix("W/") in sent
