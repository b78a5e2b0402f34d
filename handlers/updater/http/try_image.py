"""HTTP for trying an image on the page: ``POST /api/predict`` asks the serving engine on this machine.

A page may only ask the server it came from, and the engine answers on another port: the updater passes the image on.
"""

import asyncio
from typing import Any, Final

import httpx
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from handlers.settings import Settings
from handlers.sidecar.http import json_answer
from handlers.torchserve.model_status import PREDICTIONS_PATH
from handlers.updater.http.changes.access import FILE, check_own_page
from handlers.updater.http.changes.bodies import read_body
from handlers.updater.http.query import whole

AT_ONCE = 4
"""Images that are passed on at the same time; more wait. Programs ask the engine itself."""
CONNECT_SECONDS = 3.0
KEY_HEADER: Final = "x-api-key"
"""The caller's API key is passed on; this process lends nobody its own. ``authorization`` carries the updater's token:
the engine never sees that."""
MOST_CLASSES = 100


class TryApi:
    """The call; ``routes`` puts it below ``/api``."""

    def __init__(self, settings: Settings) -> None:
        self._url = settings.inference_url
        self._limit = min(settings.images.max_bytes, settings.serving.max_request_mb * 1024 * 1024)
        self._timeout = httpx.Timeout(settings.serving.response_timeout_seconds, connect=CONNECT_SECONDS)
        self._turns = asyncio.Semaphore(AT_ONCE)

    def routes(self) -> list[Route]:
        """For the application."""
        return [Route("/api/predict", self.predict, methods=["POST"])]

    async def predict(self, request: Request) -> Response:
        """The engine's answer to the image in the body; ``?top_k=`` classes. It changes nothing: no token is needed."""
        check_own_page(request, FILE)
        top_k = min(whole(request, "top_k") or 5, MOST_CLASSES)
        async with self._turns:
            data = await read_body(request, self._limit, f"the image is larger than {self._limit} bytes")
            if not data:
                raise HTTPException(400, "there is no image in the body of the request")
            sent = {KEY_HEADER: request.headers[KEY_HEADER]} if KEY_HEADER in request.headers else {}
            answer = await run_in_threadpool(self._ask, data, top_k, sent)
        return json_answer(*_read(answer))

    def _ask(self, data: bytes, top_k: int, sent: dict[str, str]) -> httpx.Response:
        headers = {"content-type": "application/octet-stream", "top-k": str(top_k), **sent}
        try:
            with httpx.Client(base_url=self._url, timeout=self._timeout, trust_env=False) as http:
                return http.post(PREDICTIONS_PATH, content=data, headers=headers)
        except httpx.TimeoutException:
            raise HTTPException(504, f"the serving engine at {self._url} did not answer in time: try again") from None
        except httpx.HTTPError as error:
            raise HTTPException(
                503, f"the serving engine at {self._url} does not answer ({error}): see `lucir status` and its log"
            ) from None


def _read(answer: httpx.Response) -> tuple[dict[str, Any], int]:
    """The document and the status of the answer; an engine's own error page becomes a message."""
    try:
        document = answer.json()
    except ValueError:
        document = None
    if answer.is_success and isinstance(document, dict):
        return document, 200
    message = document.get("error") or document.get("message") if isinstance(document, dict) else None
    status = answer.status_code if 400 <= answer.status_code < 600 else 502
    if status == 404:
        message = "no version is served yet: one is, some seconds after the first two classes have been learnt"
    return {"error": str(message or f"the serving engine answered {answer.status_code}: {answer.text[:200]}")}, status
