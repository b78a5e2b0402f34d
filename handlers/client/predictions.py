"""Asking the service about images."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from handlers.client.addresses import no_answer, open_http
from handlers.torchserve.model_status import PREDICTIONS_PATH

TOP_K_HEADER = "top-k"


@dataclass(frozen=True)
class Prediction:
    """A class and its probability, 0 to 1."""

    name: str
    probability: float


@dataclass(frozen=True)
class Answer:
    """What the service said about one image; ``error`` tells why there are no predictions."""

    image: str
    predictions: tuple[Prediction, ...] = ()
    """The likeliest first."""
    version: int | None = None
    unknown: bool | None = None
    """Whether the image seems to be of no known class; None where the version cannot tell."""
    unknown_score: float | None = None
    """1 - cosine to the nearest class mean, 0 to 2: the larger, the less the image is like any known class."""
    error: str = ""
    document: dict[str, Any] = field(default_factory=dict, repr=False)
    """The answer as it was sent."""

    @property
    def best(self) -> Prediction:
        """The likeliest class. Raises ``IndexError`` when there is an ``error``."""
        return self.predictions[0]


def classify(url: str, images: Sequence[Path], top_k: int | None) -> list[Answer]:
    """One answer per image file, in order. Raises ``ClientError`` when nobody answers at ``url``."""
    headers = {"content-type": "application/octet-stream"} | ({TOP_K_HEADER: str(top_k)} if top_k else {})
    answers = []
    with open_http(url) as session:
        for image in images:
            try:
                data = image.read_bytes()
            except OSError as error:
                answers.append(Answer(str(image), error=f"cannot be read: {error.strerror}"))
                continue
            try:
                response = session.post(PREDICTIONS_PATH, content=data, headers=headers)
            except httpx.HTTPError as error:
                raise no_answer(url, error) from None
            answers.append(_read(str(image), response))
    return answers


def _read(image: str, response: httpx.Response) -> Answer:
    try:
        document = response.json()
    except ValueError:
        document = {}
    if response.is_success and isinstance(document, dict) and document.get("predictions"):
        found = tuple(Prediction(each["class"], each["probability"]) for each in document["predictions"])
        unknown, score = document.get("unknown"), document.get("unknown_score")
        return Answer(image, found, document["model_version"], unknown, score, document=document)
    message = document.get("error") or document.get("message") if isinstance(document, dict) else None
    return Answer(image, error=str(message or f"the service answered {response.status_code}: {response.text[:200]}"))
