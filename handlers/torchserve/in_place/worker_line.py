"""The line to one worker of TorchServe, over which it loads a version beside the one that it answers with."""

import io
import json
import select
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from handlers.inference.replies import RawRequest, Reply
from handlers.inference.workers.worker_calls import Classify, Load, Result, pack, read_message
from handlers.labelling.unsure_images import NOT_KEPT_HEADER
from handlers.torchserve.inference_port import ProbeError, read_classes

CONNECT_SECONDS: Final = 1.0
ANSWER_SECONDS: Final = 30.0
"""Longest that a worker may take for a few images."""


class LineLostError(RuntimeError):
    """The worker has ended, or is of another release: it cannot be asked."""


class WorkerLine:
    """Raises ``LineLostError`` where nobody listens at ``path``."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(CONNECT_SECONDS)
        try:
            self._socket.connect(str(path))
        except OSError as error:
            self._socket.close()
            raise LineLostError(f"{path} does not answer: {error}") from error
        self._socket.settimeout(ANSWER_SECONDS)
        self._file = io.BufferedReader(self._socket.makefile("rb", 0))
        self._calls = 0
        self.loaded = False
        """Whether what it was asked to load is there."""

    def close(self) -> None:
        """Hang up: the worker drops what it loaded, unless it answers with it."""
        self._file.close()
        self._socket.close()

    def begin(self, version: int, folder: str) -> None:
        """Have it load the version in a folder of the mirrored ones; ``loaded`` tells, after ``wait``."""
        self._send(Load(self._next(), version, folder))

    def wait(self, seconds: float) -> str:
        """Wait for what it was asked to load; returns why it cannot, empty while it may."""
        if self.loaded or not select.select([self._socket], [], [], max(0.0, seconds))[0]:
            return ""
        result = self._receive()
        self.loaded = not result.problem
        return result.problem

    def classify(self, version: int, image: bytes) -> dict[str, float]:
        """As ``inference_port.Probe.classify``, by a version that it holds. Raises ``ProbeError`` too."""
        request = RawRequest({"body": image}, {"top-k": "5", NOT_KEPT_HEADER: "probe"})
        self._send(Classify(self._next(), version, [request]))
        replies: Sequence[Reply] = self._receive().value
        try:
            return read_classes(json.loads(replies[0].body))
        except (ValueError, LookupError, TypeError) as error:
            raise ProbeError(f"no classes from the worker at {self._path}: {error!r}") from error

    def _next(self) -> int:
        self._calls += 1
        return self._calls

    def _send(self, message: Load | Classify) -> None:
        try:
            self._socket.sendall(pack(message))
        except OSError as error:
            raise LineLostError(f"{self._path} is gone: {error}") from error

    def _receive(self) -> Result:
        try:
            result: Any = read_message(self._file)
        except Exception as error:  # a worker of another release may send what cannot be unpickled
            raise LineLostError(f"{self._path} cannot be understood: {error!r}") from error
        if not isinstance(result, Result) or result.call != self._calls:
            raise LineLostError(f"{self._path} is gone")
        return result


def wait_all(lines: Sequence[WorkerLine], seconds: float) -> str:
    """Wait for all of them together; returns the first problem. Raises ``LineLostError``."""
    deadline = time.monotonic() + seconds
    for line in lines:
        if problem := line.wait(deadline - time.monotonic()):
            return problem
    return ""
