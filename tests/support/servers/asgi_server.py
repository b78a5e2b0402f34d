"""An ASGI application behind the listener of ``handlers.server``, in a thread of this process."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from starlette.types import ASGIApp

from handlers.server.connections import QuietServer, make_config
from handlers.web_address import listening_socket
from tests.support.waiting import PATIENCE, wait_for


@contextmanager
def serving(app: ASGIApp, start: Callable[[], None], **listener: Any) -> Iterator[httpx.Client]:
    """A client of ``app``; ``start`` is called in the event loop before the first request.

    ``listener``: what else ``make_config`` takes.
    """
    server = QuietServer(make_config(app, **{"grace": 1, **listener}))
    with listening_socket("127.0.0.1", 0) as listener:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"

        async def run() -> None:
            start()
            await server.serve([listener])

        thread = threading.Thread(target=lambda: asyncio.run(run()), daemon=True)
        thread.start()
        try:
            wait_for(lambda: server.started)
            with httpx.Client(base_url=address, trust_env=False, timeout=60) as client:
                yield client
        finally:
            server.should_exit = True
            thread.join(PATIENCE)
