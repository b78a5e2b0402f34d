"""From a batch of requests to their answers, each with its own status: what every serving engine does with a model."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from handlers.inference import open_inference
from handlers.inference.preprocess import BadImageError, ImageRules
from handlers.inference.replies import RawRequest, Reply, encode, error_reply
from handlers.inference.request import MOST_IMAGES, BadRequestError, Request, read_request
from handlers.inference.sessions.headed_session import Inputs
from handlers.inference.sessions.onnx_session import on_gpu
from handlers.inference.version_model import Answer, VersionModel
from handlers.inference.workers.batch_reports import GivenAnswer
from handlers.labelling.unsure_images import Guess, UnsureImages, UnsureRules

logger = logging.getLogger(__name__)

NOTHING_KEPT: Final = UnsureImages(UnsureRules())
TOGETHER_PIXELS: Final = 4 * 224 * 224
"""Of the images that a processor runs together. What a network makes of more of them does not fit into its cache: from
there on each costs more, up to here less. Measured for networks of 32, 64 and 224 pixels: benchmarks/serving."""


class Batch:
    """Requests that are answered together, by one version or by several in turn: what they do alike is done once.

    ``unsure`` is offered each image with its answer.
    """

    def __init__(
        self, requests: Sequence[RawRequest], limits: ImageRules, top_k: int, unsure: UnsureImages = NOTHING_KEPT
    ) -> None:
        self._requests = requests
        self._limits = limits
        self._top_k = top_k
        self._unsure = unsure
        self._form: tuple[object, ...] = ()
        """Of the images that are read: a version that wants others reads them anew."""
        self._asked: list[_Asked | Reply] = []
        self._runs: list[tuple[Inputs, Sequence[int]]] = []
        """What runs together, and for each image how many classes to name."""

    def answers(self, model: VersionModel) -> list[Reply]:
        """By this version, in order. Whatever one request raises ends that request only."""
        form = model.resize, model.size, model.interpolation
        if form != self._form:
            self._form, self._asked = form, [_read(model, raw, self._limits, self._top_k) for raw in self._requests]
            self._runs = list(_runs(model, self._asked))
        found = (answer for inputs, counts in self._runs for answer in model.classify(inputs, counts))
        replies = []
        for raw, one in zip(self._requests, self._asked, strict=True):
            if isinstance(one, _Asked):
                given = [each if isinstance(each, str) else next(found) for each in one.images]
                _offer(self._unsure, raw, one.request.images, model.version, given)
                replies.append(_reply(one.request, model.version, given))
            else:
                replies.append(one)
        return replies


def _runs(model: VersionModel, asked: Sequence["_Asked | Reply"]) -> Iterator[tuple[Inputs, Sequence[int]]]:
    """All usable images and how many classes to name of each, in parts of about the same size."""
    good = [(image, one.request.top_k) for one in asked if isinstance(one, _Asked) for image in one.usable()]
    most = MOST_IMAGES if on_gpu(model.session) else min(MOST_IMAGES, max(1, TOGETHER_PIXELS // model.size**2))
    parts = -(-len(good) // most)
    for part in range(parts):
        images, counts = zip(*good[len(good) * part // parts : len(good) * (part + 1) // parts], strict=True)
        yield Inputs(np.stack(images)), counts


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request that could be read, and for each of its images the model's input, or why it is not an image."""

    request: Request
    images: list[NDArray[np.uint8] | str]

    def usable(self) -> list[NDArray[np.uint8]]:
        return [image for image in self.images if not isinstance(image, str)]


def _read(model: VersionModel, raw: RawRequest, limits: ImageRules, top_k: int) -> _Asked | Reply:
    def prepare(image: bytes) -> NDArray[np.uint8] | str:
        try:
            return model.prepare(image, limits)
        except Exception as error:  # noqa: BLE001 (as below)
            return _refusal(error)

    try:
        request = read_request(raw.fields, raw.headers, top_k)
        return _Asked(request, [prepare(image) for image in request.images])
    except Exception as error:  # noqa: BLE001 (nobody foresaw it: the others of the batch must not pay for it)
        return error_reply(error.status if isinstance(error, BadRequestError) else 400, _refusal(error))


def _offer(
    unsure: UnsureImages, raw: RawRequest, images: Sequence[bytes], version: int, given: Sequence[Answer | str]
) -> None:
    for image, answer in zip(images, given, strict=True):
        if isinstance(answer, Answer):
            best = answer.predictions[0]
            unsure.offer(image, Guess(version, best.name, best.probability, answer.unknown), raw.headers)


def _refusal(error: Exception) -> str:
    """What to say of a request, or one of its images, that raised ``error``."""
    if isinstance(error, BadRequestError | BadImageError):
        return str(error)
    logger.warning("a request could not be read", exc_info=error)
    return f"the request cannot be read ({type(error).__name__}): send the bytes of an image file"


def _reply(request: Request, version: int, answers: Sequence[Answer | str]) -> Reply:
    """One answer is an object; those to several images are a list in their order, with the reason where one is bad."""
    status = 400 if all(isinstance(answer, str) for answer in answers) else 200
    try:
        if request.protocol is not None:
            return _open_inference_reply(request.protocol, version, answers)
        documents = [{"error": each} if isinstance(each, str) else _document(version, each) for each in answers]
        body = encode(documents[0] if len(documents) == 1 and not request.as_list else documents)
        return Reply(status, body, tuple(_given(each) for each in answers if isinstance(each, Answer)))
    except Exception as error:  # noqa: BLE001 (as in ``_read``)
        return error_reply(400, _refusal(error))


def _given(answer: Answer) -> GivenAnswer:
    best = answer.predictions[0]
    return GivenAnswer(round(best.probability, 4), round(best.cosine, 4), answer.unknown)


def _open_inference_reply(envelope: open_inference.Envelope, version: int, answers: Sequence[Answer | str]) -> Reply:
    """All images or none: the protocol's tensors have no place for the reason why one of them is bad."""
    found = []
    for number, answer in enumerate(answers, 1):
        if isinstance(answer, str):
            return error_reply(400, answer if len(answers) == 1 else f"image {number} of {len(answers)}: {answer}")
        found.append(answer)
    rows = [[(each.name, each.probability, each.cosine) for each in answer.predictions] for answer in found]
    return Reply(200, encode(open_inference.answer(envelope, version, rows)), tuple(map(_given, found)))


def _document(version: int, answer: Answer) -> dict[str, Any]:
    return {
        "model_version": version,
        "predictions": [
            {"class": item.name, "probability": item.probability, "cosine": item.cosine} for item in answer.predictions
        ],
        **({} if answer.unknown is None else {"unknown": answer.unknown, "unknown_score": answer.unknown_score}),
    }
