"""A TorchServe made of a few lines: the same calls over the same socket, for tests of many followers at once.

What TorchServe really does is tested with the real one (``tests/handlers/torchserve``, ``tests/end_to_end``).
"""

import json
import re
import socketserver
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from handlers.settings import Settings
from handlers.sockets import management_socket
from handlers.torchserve.folders import folder_name
from tests.support.servers.small_server import Asked, UnixServer, handler_of

Answer = tuple[int, Any]

LOAD_SECONDS = 0.2
"""What passes until a worker is ready."""


class TorchServeDouble:
    """Each answer of the inference port is kept in ``answered``."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.answered: list[tuple[int, int | None]] = []
        self.full: list[Answer] = []
        """What it refuses the next requests with, in order: its queue has no room."""
        self._lock = threading.Lock()
        self._ready_at: dict[int, float | None] = {}
        self._default: int | None = None
        path = management_socket(settings)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        self._servers: list[socketserver.BaseServer] = [
            UnixServer(str(path), _handler(self._manage)),
            ThreadingHTTPServer((settings.serving.host, settings.serving.port), _handler(self._infer)),
        ]
        for server in self._servers:
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        """Answer no more."""
        for server in self._servers:
            server.shutdown()
            server.server_close()
        management_socket(self.settings).unlink(missing_ok=True)

    @property
    def registered(self) -> list[int]:
        """Versions it knows."""
        with self._lock:
            return sorted(self._ready_at)

    def _manage(self, method: str, path: str, query: dict[str, str]) -> Answer:
        with self._lock:
            if method == "POST":
                return self._register(int(query["url"].rpartition("-")[2]))
            if method == "GET":
                numbers = [self._default] if path == "/models/lucir" else sorted(self._ready_at)
                found = [self._describe(number) for number in numbers if number is not None]
                return (200, found) if found else (404, {"message": "no such model"})
            number = int(path.split("/")[3])
            if number not in self._ready_at:
                return 404, {"message": "no such version"}
            if method == "DELETE":
                del self._ready_at[number]
                self._default = None if self._default == number else self._default
            elif path.endswith("/set-default"):
                self._default = number
            else:
                self._ready_at[number] = time.monotonic() + LOAD_SECONDS
            return 202, {"status": "ok"}

    def _register(self, number: int) -> Answer:
        if not (self.settings.models_folder / folder_name(number) / "MAR-INF" / "MANIFEST.json").is_file():
            return 400, {"message": "no such folder"}
        self._ready_at.setdefault(number, None)
        self._default = number if self._default is None else self._default
        return 200, {"status": "registered"}

    def _describe(self, number: int) -> dict[str, Any]:
        ready_at = self._ready_at[number]
        workers = [] if ready_at is None else [{"pid": 1000 + number, "status": self._status(number), "gpu": False}]
        return {"modelVersion": str(number), "minWorkers": len(workers), "workers": workers}

    def _status(self, number: int) -> str:
        ready_at = self._ready_at[number]
        return "READY" if ready_at is not None and time.monotonic() >= ready_at else "LOADING"

    def _infer(self, method: str, path: str, query: dict[str, str]) -> Answer:
        named = re.fullmatch(r"/predictions/lucir(?:/(\d+))?", path)
        with self._lock:
            if self.full:
                return self.full.pop()
            number = int(named[1]) if named and named[1] else self._default
            known = number in self._ready_at and self._status(number) == "READY" if number is not None else False
            status = 200 if known and number else 503
            self.answered.append((status, number))
        if not known:
            return 503, {"error": "no worker"}
        return (status, {"model_version": number}) if number else (status, {"error": "nothing learnt yet"})


def _handler(answer: Callable[[str, str, dict[str, str]], Answer]) -> type[BaseHTTPRequestHandler]:
    def run(asked: Asked) -> tuple[int, bytes]:
        parts = urlsplit(asked.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        status, document = answer(asked.method, parts.path, query)
        return status, json.dumps(document).encode()

    return handler_of(run)


def version_folders(models: Path) -> set[str]:
    """Names of the mirrored versions."""
    return {path.name for path in models.iterdir()}
