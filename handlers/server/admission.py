"""Who may ask: API keys, web pages of other origins."""

from collections.abc import Sequence
from typing import Final

from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from handlers.inference.api_keys import WITHOUT_KEY, ApiKeys
from handlers.inference.replies import READABLE_HEADERS, error_reply

OPEN: Final = ("/ping", "/v2/health/", "/openapi.json")
"""Health, and how to ask, are told without a key."""


class WithKeys:
    """``app`` for whoever sends one of ``keys``; everybody else gets 401."""

    def __init__(self, app: ASGIApp, keys: ApiKeys) -> None:
        self._app = app
        self._keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        app = self._app if scope["type"] != "http" or self._may(scope) else _without_key
        await app(scope, receive, send)

    def _may(self, scope: Scope) -> bool:
        """Whether a request may be answered. What a browser asks before it sends one carries no key."""
        if scope["path"].startswith(OPEN) or scope["method"] == "OPTIONS":
            return True
        return self._keys.allow({name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]})


def with_origins(app: ASGIApp, origins: Sequence[str]) -> ASGIApp:
    """``app`` for web pages of these origins too: what browsers ask before, and what they want to read in answers.

    Refusals need the same headers, or a page could not tell a wrong key from a server that is away: this stands before
    ``WithKeys``.
    """
    if not origins:
        return app
    return CORSMiddleware(
        app,
        allow_origins=origins,
        allow_methods=["GET", "POST", "PUT"],
        allow_headers=READABLE_HEADERS,
        expose_headers=["x-request-id", "retry-after"],
    )


async def _without_key(scope: Scope, receive: Receive, send: Send) -> None:
    reply = error_reply(401, WITHOUT_KEY)
    headers = {"WWW-Authenticate": "Bearer"}
    await Response(reply.body, reply.status, headers, media_type="application/json")(scope, receive, send)
