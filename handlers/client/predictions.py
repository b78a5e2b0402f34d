"""Asking the service about images."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from handlers.client.addresses import check_headers, no_answer, open_http
from handlers.client.answers import document_of, in_words
from handlers.client.asking import ask_again
from handlers.client.class_folders import images_below
from handlers.client.errors import ClientError
from handlers.client.visible import visible
from handlers.parallel import ordered_map

TOP_K_HEADER = "top-k"
PARALLEL = 4
"""Requests at a time: enough for the server to answer in batches."""


@dataclass(frozen=True)
class Prediction:
    """A class and its probability, 0 to 1."""

    name: str
    probability: float


@dataclass(frozen=True)
class Answer:
    """The answer for one image; ``error`` says why there are no predictions."""

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


def image_files(paths: Iterable[Path]) -> list[Path]:
    """The files themselves, and of each folder the images at any depth, sorted. Raises ``ClientError``."""
    found: list[Path] = []
    for path in paths:
        inside = images_below(path) if path.is_dir() else [path]
        if not inside:
            raise ClientError(f"{visible(str(path))} holds no image: name a file, or a folder with images in it")
        found += inside
    return found


def classify(
    url: str,
    images: Sequence[Path],
    top_k: int | None,
    authorization: Mapping[str, str],
    remedies: Mapping[int, str] | None = None,
) -> Iterator[Answer]:
    """One answer per image file, in order, as they come.

    authorization: headers that are sent along. remedies: what helps, by the status of an answer.

    An image whose answer was lost with the process that had it is asked about again (``handlers.client.asking``).
    Raises ``ClientError`` when nobody answers at ``url``.
    """
    options = {TOP_K_HEADER: str(top_k)} if top_k else {}
    headers = {"content-type": "application/octet-stream", **options, **authorization}
    check_headers(headers)

    def ask(image: Path) -> Answer:
        try:
            data = image.read_bytes()
        except OSError as error:
            return Answer(str(image), error=f"cannot be read: {error.strerror}")
        try:
            response, _ = ask_again(session, data, headers)
        except httpx.HTTPError as error:
            raise no_answer(url, error) from None
        return _read(str(image), response, remedies or {})

    with open_http(url) as session:
        yield from ordered_map(ask, images, PARALLEL)


def _read(image: str, response: httpx.Response, remedies: Mapping[int, str]) -> Answer:
    if not response.is_success:
        return Answer(image, error=in_words(response, remedies))
    document = document_of(response)
    try:
        found = tuple(Prediction(each["class"], each["probability"]) for each in document["predictions"])
        version = document["model_version"]
    except (KeyError, TypeError):
        found, version = (), None
    if not found:
        return Answer(image, error="the answer holds no predictions: see whether this is the address of the service")
    unknown, score = document.get("unknown"), document.get("unknown_score")
    return Answer(image, found, version, unknown, score, document=document)
