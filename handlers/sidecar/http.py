"""What the HTTP pages of every process of ours share: a server in a thread, JSON answers, safe headers."""

import logging
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from handlers.web_address import listening_socket

logger = logging.getLogger(__name__)

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def json_answer(content: dict[str, Any], status: int = 200) -> JSONResponse:
    """A JSON document with the headers that every answer has."""
    return JSONResponse(content, status, headers=HEADERS)


def answer_missing(pages: str, methods: str) -> Callable[[Request, Exception], Awaitable[Response]]:
    """The exception handler of ``HTTPException``: one that names no reason of its own gets one.

    pages: which pages there are. methods: how one asks for what.
    """

    async def answer(request: Request, error: Exception) -> Response:
        status, reason = (error.status_code, error.detail) if isinstance(error, HTTPException) else (500, str(error))
        if reason == "Not Found":
            reason = f"there is nothing at {request.url.path}: see {pages}"
        elif reason == "Method Not Allowed":
            reason = f"{request.method} is not possible here: {methods}"
        return json_answer({"error": reason}, status)

    return answer


async def answer_bug(request: Request, error: Exception) -> Response:
    """The exception handler for what should not happen: the log has the details, the client a plain 500."""
    logger.error("a request for %s failed", request.url.path, exc_info=error)
    return json_answer({"error": "internal error; the log of this process has the details"}, 500)


class WebServer:
    """uvicorn in a thread. Raises ``OSError`` on construction when the address cannot be had."""

    def __init__(self, app: Starlette, host: str, port: int) -> None:
        self._socket = listening_socket(host, port)
        config = uvicorn.Config(
            app,
            http="h11",  # it limits how long headers may be
            loop="asyncio",
            log_config=None,
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), name="web", daemon=True)

    @property
    def port(self) -> int:
        """The port that is listened on."""
        port: int = self._socket.getsockname()[1]
        return port

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Stop answering."""
        self._server.should_exit = True
        self._thread.join(timeout=3.0)
        self._socket.close()
