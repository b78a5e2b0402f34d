"""What stands before every page of the inference port: request ids, the log, counters, the end of a connection."""

import logging
import re
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Final

from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from handlers.inference.answering import error_reply
from handlers.inference.api_keys import WITHOUT_KEY, ApiKeys

logger = logging.getLogger(__name__)

REQUEST_ID: Final = b"x-request-id"
_SAFE_ID: Final = re.compile(rb"[A-Za-z0-9._:/+=-]{1,128}")


OPEN: Final = ("/ping", "/v2/health/")
"""Health is asked without a key."""
NO_KEYS: Final = ApiKeys()


class Gateway:
    """``answered`` is told the path and query of each request, the status of its answer, and the seconds it took."""

    def __init__(self, app: ASGIApp, answered: Callable[[str, int, float], None], keys: ApiKeys = NO_KEYS) -> None:
        self._keys = keys
        self._app = app
        self._answered = answered
        self.draining = False
        """Every answer ends its connection, so that kept-alive clients come back elsewhere, none of them cut off."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        identity = _identity(scope)
        status = 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = [*message.get("headers", []), (REQUEST_ID, identity)]
                if self.draining and not any(name == b"connection" for name, _ in headers):
                    headers.append((b"connection", b"close"))
                message = {**message, "headers": headers}
            await send(message)

        try:
            app = self._app if self._may(scope) else _without_key
            await app(scope, receive, answer)
        finally:
            seconds = time.perf_counter() - started
            query = scope["query_string"].decode("ascii", "replace")
            self._answered(f"{scope['path']}?{query}", status or 500, seconds)
            logger.log(
                logging.WARNING if status >= 500 and status != 503 else logging.DEBUG,
                "%s %s: %d in %.1f ms",
                scope["method"],
                scope["path"],
                status,
                seconds * 1e3,
                extra={"request": identity.decode("ascii")},
            )

    def _may(self, scope: Scope) -> bool:
        """Whether a request may be answered. What a browser asks before it sends one carries no key."""
        if scope["path"].startswith(OPEN) or scope["method"] == "OPTIONS":
            return True
        return self._keys.allow({name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]})


async def _without_key(scope: Scope, receive: Receive, send: Send) -> None:
    reply = error_reply(401, WITHOUT_KEY)
    headers = {"WWW-Authenticate": "Bearer"}
    await Response(reply.body, reply.status, headers, media_type="application/json")(scope, receive, send)


def with_origins(app: ASGIApp, origins: Sequence[str]) -> ASGIApp:
    """``app`` for web pages of these origins too: what browsers ask before, and what they want to read in answers."""
    return CORSMiddleware(
        app,
        allow_origins=origins,
        allow_methods=["GET", "POST", "PUT"],
        allow_headers=["authorization", "content-type", "top-k", "x-api-key", "x-request-id", "x-top-k"],
        expose_headers=["x-request-id", "retry-after"],
    )


def _identity(scope: Scope) -> bytes:
    """The id that the client sent, where it is harmless, else a new one."""
    for name, value in scope["headers"]:
        if name == REQUEST_ID and _SAFE_ID.fullmatch(value):
            return bytes(value)
    return uuid.uuid4().hex.encode("ascii")
