"""Asking the inference port what it serves: the only answer that counts."""

import io
from typing import Any, Final

import httpx
from PIL import Image

from handlers.inference.traffic_metrics import PROBE_QUERY
from handlers.labelling.unsure_images import NOT_KEPT_HEADER
from handlers.settings import Settings
from handlers.torchserve.folders import NOTHING_LEARNT
from handlers.torchserve.management import ManagementError, ManagementUnavailableError
from handlers.torchserve.model_status import PREDICTIONS_PATH

_SIDE: Final = 64
TORCHSERVE_FULL: Final = "ServiceUnavailableException"
"""In its answer where a queue is full, or no worker is there."""


class NoRoomError(ManagementError):
    """The engine takes no request now; the message holds what it said."""


class ProbeError(RuntimeError):
    """The inference port did not answer as a version of ours does; the message holds what it said."""


class LateError(ProbeError):
    """It did not answer in time, which a machine that has too much to do does not either."""


def read_classes(answer: Any) -> dict[str, float]:
    """The probability of each class in an answer. Raises ``KeyError``, ``TypeError``, ``ValueError`` for another."""
    return {str(each["class"]): float(each["probability"]) for each in answer["predictions"]}


class Probe:
    """Classifies a grey image and reads which version answered."""

    def __init__(self, settings: Settings) -> None:
        self._client = httpx.Client(
            base_url=settings.inference_url,
            timeout=settings.serving.response_timeout_seconds,
            trust_env=False,
            headers={**settings.serving.authorization(), NOT_KEPT_HEADER: "probe"},
        )
        side = max(_SIDE, settings.images.min_side)
        buffer = io.BytesIO()
        Image.new("RGB", (side, side), "grey").save(buffer, "PNG")
        self._image = buffer.getvalue()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def classify(self, version: int, image: bytes) -> dict[str, float]:
        """The five best classes of a PNG and their probabilities, by ``version``.

        Raises ``ProbeError``, ``LateError``, ``ManagementError``.
        """
        path = f"{PREDICTIONS_PATH}/{version}?{PROBE_QUERY}"
        try:
            answer = self._post(path, content=image, headers={"Content-Type": "image/png", "X-Top-K": "5"}).json()
            return read_classes(answer)
        except (httpx.RequestError, ValueError, KeyError, TypeError) as error:
            raise ProbeError(f"no classes from {path}: {error!r}") from error

    def ask(self, version: int | None = None) -> int:
        """The version that answers, at the address of ``version`` or at the one everybody uses.

        Raises ``ProbeError``, ``LateError``, ``ManagementError``.
        """
        path = PREDICTIONS_PATH + ("" if version is None else f"/{version}") + f"?{PROBE_QUERY}"
        try:
            response = self._post(path, content=self._image, headers={"Content-Type": "image/png"})
            answer = response.json()
        except (httpx.RequestError, ValueError) as error:
            raise ProbeError(f"no answer from {path}: {error}") from error
        if response.is_success and isinstance(answer.get("model_version"), int):
            return int(answer["model_version"])
        if response.status_code == httpx.codes.SERVICE_UNAVAILABLE and "nothing learnt" in str(answer.get("error")):
            return NOTHING_LEARNT
        raise ProbeError(f"{path} answers {response.status_code}: {response.text[:300]}")

    def _post(self, path: str, **request: Any) -> httpx.Response:
        """Raises what says nothing of a version: ``ManagementUnavailableError`` where the engine itself is gone,
        ``NoRoomError`` where its queue is full, ``LateError``.
        """
        try:
            response = self._client.post(path, **request)
        except httpx.TimeoutException as error:
            seconds = self._client.timeout.read
            raise LateError(f"no answer from {path} within {seconds:g} s") from error
        except (httpx.NetworkError, httpx.RemoteProtocolError) as error:
            raise ManagementUnavailableError(f"the serving engine does not answer {path}: {error!r}") from error
        full = response.status_code == httpx.codes.SERVICE_UNAVAILABLE and TORCHSERVE_FULL in response.text
        if full or response.status_code == httpx.codes.TOO_MANY_REQUESTS:
            raise NoRoomError(f"the serving engine has no room for {path} now: {response.text[:300]}")
        return response
