"""Health judged by what really answers: TorchServe's workers through the management socket, the updater's pages."""

from dataclasses import dataclass
from pathlib import Path

import httpx

from handlers.torchserve.model_status import MODEL_PATH, worker_problem

TIMEOUT_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Health:
    """``alive``: it answers at all, so restarting it would not help. ``ready``: it does its work."""

    alive: bool
    ready: bool
    reason: str = ""

    @classmethod
    def silent(cls, error: httpx.HTTPError) -> "Health":
        """Of what does not answer."""
        return cls(alive=False, ready=False, reason=f"does not answer ({error or type(error).__name__})")


class TorchServeProbe:
    """Alive while both listeners answer; ready when a worker of the default version of the model is READY.

    ``GET /ping`` alone says Healthy while every worker is dead, so it only shows that the listener answers.
    """

    def __init__(self, inference_url: str, socket: Path) -> None:
        self._inference = httpx.Client(
            base_url=inference_url,
            timeout=TIMEOUT_SECONDS,
            trust_env=False,
            limits=httpx.Limits(max_keepalive_connections=0),  # a server that drains waits for kept connections
        )
        self._management = httpx.Client(
            base_url="http://management",
            transport=httpx.HTTPTransport(uds=str(socket)),
            timeout=TIMEOUT_SECONDS,
            trust_env=False,
        )

    def __call__(self) -> Health:
        """Ask once."""
        try:
            self._inference.get("/ping")
            answer = self._management.get(MODEL_PATH)
        except httpx.HTTPError as error:
            return Health.silent(error)
        if answer.status_code != httpx.codes.OK:
            return Health(alive=True, ready=False, reason="no version is registered yet")
        try:
            problem = worker_problem(answer.json())
        except ValueError as error:
            return Health(alive=True, ready=False, reason=str(error))
        return Health(alive=True, ready=not problem, reason=problem)


class UpdaterProbe:
    """Alive while ``/healthz`` answers 200; ready when ``/readyz`` does."""

    def __init__(self, url: str, *, timeout: float = TIMEOUT_SECONDS) -> None:
        self._client = httpx.Client(base_url=url, timeout=timeout, trust_env=False)

    def __call__(self) -> Health:
        """Ask once."""
        try:
            if not self._client.get("/healthz").is_success:
                return Health(alive=False, ready=False, reason="/healthz says it is not healthy")
            answer = self._client.get("/readyz")
        except httpx.HTTPError as error:
            return Health.silent(error)
        return Health(alive=True, ready=answer.is_success, reason="" if answer.is_success else answer.text.strip())
