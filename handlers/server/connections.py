"""uvicorn with what it lacks: limits on the length of headers and on their time, an end without cut connections.

Its parser is httptools, which is written in C; what h11 would refuse beside it is refused here.
"""

import asyncio
import logging
import re
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from types import FrameType
from typing import Any, Final

import uvicorn
from httptools import HttpParserInvalidMethodError
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from handlers.inference.replies import error_reply
from handlers.server.request_body import WHOLE_BODY

logger = logging.getLogger(__name__)

HEADER_SECONDS: Final = 10.0
"""From a connection, or the first byte of a further request, to the end of the headers."""
IDLE_SECONDS: Final = 75
"""How long a kept-alive connection may stay silent: longer than common proxies and clients keep theirs."""
HEADER_BYTES: Final = 64 * 1024
_LONG_HEAD: Final = f"the headers are longer than {HEADER_BYTES} bytes: send less"
METHODS: Final = ("GET", "HEAD", "OPTIONS", "POST", "PUT")
"""That an address of the inference port may answer; each has some of them."""
_REQUEST_LINE: Final = re.compile(rb"([A-Za-z-]{1,32}) \S{1,8192} HTTP/1\.[01]\r\n")
CLOSING_SECONDS: Final = 2.0
"""From the last accepted connection to the end: for requests under way, and for clients that have just connected."""
SETTLING_SECONDS: Final = 0.1
COMING_BACK_TICKS: Final = 5
"""Tenths of a second: where every client is between two connections at one moment, the server has not been left."""


class PatientProtocol(HttpToolsProtocol):
    """HTTP/1.1 that lets nobody hold a connection with headers that never end, and refuses in JSON."""

    _limit: asyncio.TimerHandle | None = None
    _in_head = False
    """Whether the headers of a request have begun and not ended."""
    _head_bytes = 0
    """Of pieces that were headers of one request and nothing else."""
    _begun = 0
    """Requests whose first byte was in the last piece."""
    _problem: tuple[int, str] | None = None
    """The status and the words for what the parser cannot know."""
    _piece = b""
    """The last bytes that came, while the parser has them."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # asyncio's base names a wider type
        """A client has connected, and has to say what it wants."""
        super().connection_made(transport)
        most, self.limit_concurrency = self.limit_concurrency, None
        if most is not None and len(self.connections) > most:
            logger.warning("more than %d connections: one more is answered 503", most)
            self.app = _crowded
        self._limit = self.loop.call_later(HEADER_SECONDS, self._too_slow, None)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        if self._limit is not None:
            self._limit.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes of a request's headers, or of its body."""
        before, self._begun = self.cycle, 0
        between = self._in_head or before is None or not before.more_body
        self._piece = data
        super().data_received(data)
        self._piece = b""
        if self._in_head and between and self._begun <= 1:  # else a part of it belongs to an earlier request
            self._head_bytes += len(data)
            if self._head_bytes > HEADER_BYTES and not self.transport.is_closing():
                self._refuse(431, _LONG_HEAD)
                return
        waiting = self.cycle is None or self.cycle.response_complete
        if waiting and self._limit is None:
            self._limit = self.loop.call_later(HEADER_SECONDS, self._too_slow, self.cycle)
        elif self.cycle is not before and self._limit is not None:
            self._limit.cancel()
            self._limit = None

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        self._in_head, self._head_bytes = True, 0
        self._begun += 1
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Headers have ended. What is raised here, the parser reports as a request that it cannot read."""
        self._in_head = False
        length, hosts = len(self.url), 0
        for name, value in self.headers:
            length += len(name) + len(value) + 4
            hosts += name == b"host"
        if length > HEADER_BYTES:
            self._problem = (431, _LONG_HEAD)
            raise ValueError(_LONG_HEAD)
        if hosts > 1 or (hosts == 0 and self.parser.get_http_version() == "1.1"):
            self._problem = (400, f"the request has {hosts} headers Host: send one")
            raise ValueError(self._problem[1])
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """All of the body is here."""
        self.scope["state"][WHOLE_BODY] = True
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is not HTTP, or what ``on_headers_complete`` has found."""
        if isinstance(sys.exception(), HttpParserInvalidMethodError) and (line := _REQUEST_LINE.match(self._piece)):
            allowed = ", ".join(METHODS)
            self._refuse(
                405, f"the method {line[1].decode()} is not known here: {allowed} are", f"allow: {allowed}\r\n"
            )
        else:
            self._refuse(*(self._problem or (400, msg)))

    def _refuse(self, status: int, message: str, header: str = "") -> None:
        """The last answer of this connection, unless another one is under way."""
        cycle = self.cycle
        if cycle is None or cycle.response_complete or not (cycle.response_started or self.pipeline):
            body = error_reply(status, message).body
            head = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-type: application/json\r\n{header}"
            self.transport.write(f"{head}content-length: {len(body)}\r\nconnection: close\r\n\r\n".encode() + body)
            if cycle is not None:  # whoever reads the body learns that no more of it comes
                cycle.disconnected = True
                cycle.message_event.set()
        self.transport.close()

    def _too_slow(self, cycle: object) -> None:
        self._limit = None
        if self.cycle is cycle and not self.transport.is_closing():
            self.transport.abort()


async def _crowded(scope: Scope, receive: Receive, send: Send) -> None:
    """One connection too many: a client shall come back, to this server or another."""
    reply = error_reply(503, "this server has as many connections as it takes: try again in a moment")
    headers = {"Retry-After": "1", "Connection": "close"}
    await Response(reply.body, reply.status, headers, media_type="application/json")(scope, receive, send)


class QuietServer(uvicorn.Server):
    """A server beside others in one event loop: it leaves the signals of the process alone."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave them alone."""
        yield


class DrainingServer(uvicorn.Server):
    """The server of the inference port. A first SIGTERM or SIGINT calls ``drain`` and ends it once every client has
    left, at the latest ``seconds`` later; a second one ends it at once.
    """

    def __init__(self, config: uvicorn.Config, drain: Callable[[], None], seconds: float) -> None:
        super().__init__(config)
        self._drain = drain
        self._seconds = seconds
        self._end_at: float | None = None
        self._coming_back = 0
        """Ticks for which clients that were told to leave may be on their way back, with a connection of their own."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A signal has come, in the main thread, which is that of the event loop."""
        del frame
        if self._end_at is not None:
            self.should_exit = True
            return
        logger.info("%s: ending within %g s, no request is cut off", signal.Signals(sig).name, self._seconds)
        self._drain()
        self._end_at = time.monotonic() + self._seconds

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second: whether to end. After a signal, as soon as nobody is connected, or about to come back."""
        if self._end_at is not None:
            self._coming_back = COMING_BACK_TICKS if self.server_state.connections else self._coming_back - 1
            if self._coming_back < 0 or time.monotonic() >= self._end_at:
                self.should_exit = True
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Refuse new connections, answer those that are there, then end as uvicorn does."""
        loop = asyncio.get_running_loop()
        # Closing a listener resets what waits to be accepted: taken over first, with nothing in between.
        accepted = [connection for listener in sockets or [] for connection in _waiting(listener)]
        for server in self.servers:
            server.close()
        for connection in accepted:
            await loop.connect_accepted_socket(self._protocol, connection)
        now = time.monotonic()
        # Connections that the event loop has just accepted are not counted yet.
        while time.monotonic() < now + SETTLING_SECONDS or (
            self.server_state.connections and time.monotonic() < now + CLOSING_SECONDS
        ):
            await asyncio.sleep(0.02)
        await super().shutdown(sockets)

    def _protocol(self) -> asyncio.Protocol:
        return PatientProtocol(self.config, self.server_state, self.lifespan.state, asyncio.get_running_loop())


def _waiting(listener: socket.socket) -> Iterator[socket.socket]:
    """The connections that clients have made and nobody has accepted yet. ``listener`` does not block."""
    while True:
        try:
            yield listener.accept()[0]
        except OSError:  # none is left
            return


def make_config(
    app: ASGIApp, *, connections: int | None = None, grace: int = 5, idle: float = IDLE_SECONDS
) -> uvicorn.Config:
    """uvicorn's settings for one of our listeners. ``connections``: most at once; ``grace``: seconds for the last
    answers once everything ends; ``idle``: seconds after which a silent connection is closed.
    """
    options: dict[str, Any] = {"http": PatientProtocol, "ws": "none", "lifespan": "off", "loop": "asyncio"}
    return uvicorn.Config(
        app,
        **options,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # nothing here depends on who asks: a layer that every request would pass
        backlog=1024,
        limit_concurrency=connections,
        timeout_keep_alive=idle,  # type: ignore[arg-type]  # whole seconds by its type, handed on to the event loop
        timeout_graceful_shutdown=grace,
    )
