"""What stands before every page of the inference port: request ids, the log, counters, the end of a connection."""

import asyncio
import logging
import random
import re
import time
from collections.abc import Callable
from typing import Final

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from handlers.inference.replies import Reply, error_reply

logger = logging.getLogger(__name__)

REQUEST_ID: Final = b"x-request-id"
MOST_HEADERS: Final = 100
LONGEST_TARGET: Final = 8192
"""Bytes of a path and its query."""
_IDS: Final = random.Random()  # noqa: S311 (an id is not a secret)
"""Not ``uuid``: that asks the kernel, and the thread that runs a model meanwhile takes the interpreter for 0.6 ms."""
_SAFE_ID: Final = re.compile(rb"[A-Za-z0-9._:/+=-]{1,128}")


class Gateway:
    """``answered`` is told the path and query of each request, the status of its answer, and the seconds it took."""

    def __init__(self, app: ASGIApp, answered: Callable[[str, int, float], None]) -> None:
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
            refusal = _refuse(scope)
            if refusal is None:
                if scope["path"].endswith("/"):
                    scope = {**scope, "path": scope["path"].rstrip("/") or "/"}
                await self._app(scope, receive, answer)
            else:
                await Response(refusal.body, refusal.status, media_type="application/json")(scope, receive, answer)
        finally:
            # Counted and logged once the answer is on its way: a client need not wait for that.
            seconds = time.perf_counter() - started
            asyncio.get_running_loop().call_soon(self._note, scope, identity, status, seconds)

    def _note(self, scope: Scope, identity: bytes, status: int, seconds: float) -> None:
        query = scope["query_string"].decode("ascii", "replace")
        self._answered(f"{scope['path']}?{query}", status or 500, seconds)
        level = logging.WARNING if status >= 500 and status != 503 else logging.DEBUG
        if logger.isEnabledFor(level):
            logger.log(
                level,
                "%s %s: %d in %.1f ms",
                scope["method"],
                scope["path"],
                status,
                seconds * 1e3,
                extra={"request": identity.decode("ascii")},
            )


def _refuse(scope: Scope) -> Reply | None:
    """The answer to a request that asks for too much before it is looked at."""
    if len(scope["headers"]) > MOST_HEADERS:
        return error_reply(431, f"the request has {len(scope['headers'])} headers: send at most {MOST_HEADERS}")
    length = len(scope["raw_path"]) + len(scope["query_string"])
    if length > LONGEST_TARGET:
        return error_reply(414, f"the address is {length} bytes long: at most {LONGEST_TARGET} are read")
    return None


def _identity(scope: Scope) -> bytes:
    """The id that the client sent, where it is harmless, else a new one."""
    for name, value in scope["headers"]:
        if name == REQUEST_ID and _SAFE_ID.fullmatch(value):
            return bytes(value)
    return b"%032x" % _IDS.getrandbits(128)
