"""Health judged by what really answers: the engine's workers through the management socket, the sidecar's pages.

Standard library: an HTTP client would cost every start of a stack a fifth of a second.
"""

import http.client
import json
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self
from urllib.parse import urlsplit

from handlers.torchserve.frontend import unix_http
from handlers.torchserve.model_status import MODEL_PATH, worker_problem

TIMEOUT_SECONDS: Final = 3.0
SILENT: Final = (OSError, http.client.HTTPException)
"""What is raised when nobody answers properly."""


@dataclass(frozen=True, slots=True)
class Health:
    """``alive``: it answers at all, so restarting it would not help. ``ready``: it does its work."""

    alive: bool
    ready: bool
    reason: str = ""

    @classmethod
    def silent(cls, error: Exception) -> Self:
        """Of what does not answer."""
        return cls(alive=False, ready=False, reason=f"does not answer ({error or type(error).__name__})")


def get(url: str, path: str, timeout: float = TIMEOUT_SECONDS) -> tuple[int, str]:
    """Status and text of a GET, past any proxy, over a connection of its own. Raises what ``SILENT`` names."""
    place = urlsplit(url)
    with closing(http.client.HTTPConnection(place.hostname or "", place.port, timeout=timeout)) as connection:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode(errors="replace")


class EngineProbe:
    """Alive while both listeners of the serving engine answer; ready when a worker of the default version is READY.

    TorchServe's ``GET /ping`` says Healthy while every worker is dead, so it only shows that the listener answers.
    """

    def __init__(self, inference_url: str, socket: Path) -> None:
        self._inference = inference_url
        self._management = str(socket)

    def __call__(self) -> Health:
        """Ask once."""
        try:
            get(self._inference, "/ping")
            status, models = unix_http.get(self._management, MODEL_PATH, TIMEOUT_SECONDS)
        except SILENT as error:
            return Health.silent(error)
        if status != http.client.OK:
            return Health(alive=True, ready=False, reason="no version is registered yet")
        try:
            problem = worker_problem(json.loads(models))
        except ValueError as error:
            return Health(alive=True, ready=False, reason=str(error))
        return Health(alive=True, ready=not problem, reason=problem)


class SidecarProbe:
    """Of updater and follower. Alive while ``/healthz`` answers 200; ready when ``/readyz`` does.

    ``/readyz`` asks the store: while that one hangs it is not ready, and a restart would cost the running update.
    """

    def __init__(self, url: str, *, timeout: float = TIMEOUT_SECONDS) -> None:
        self._url = url
        self._timeout = timeout

    def __call__(self) -> Health:
        """Ask once."""
        try:
            if get(self._url, "/healthz", self._timeout)[0] != http.client.OK:
                return Health(alive=False, ready=False, reason="/healthz says it is not healthy")
        except SILENT as error:
            return Health.silent(error)
        try:
            status, text = get(self._url, "/readyz", self._timeout)
        except SILENT as error:
            why = f"is alive, but cannot say within {self._timeout:.0f} s whether it is ready ({error})"
            return Health(alive=True, ready=False, reason=why)
        ready = status == http.client.OK
        return Health(alive=True, ready=ready, reason="" if ready else text.strip())
