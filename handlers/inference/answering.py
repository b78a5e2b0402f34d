"""From a batch of requests to their answers, each with its own status: what every serving engine does with a model."""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from handlers.inference import open_inference
from handlers.inference.preprocess import BadImageError, ImageRules
from handlers.inference.request import BadRequestError, Request, read_request
from handlers.inference.version_model import Answer, VersionModel

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RawRequest:
    """A request as an engine received it: the fields of a form or the whole ``body``, and its headers."""

    fields: Mapping[str, Any]
    headers: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP status and a JSON document, encoded."""

    status: int
    body: bytes


def answer_batch(model: VersionModel, requests: Sequence[RawRequest], limits: ImageRules, top_k: int) -> list[Reply]:
    """Answer all in one run of ``model``, in order. Whatever one request raises ends that request only."""
    replies: dict[int, Reply] = {}
    good: list[tuple[int, Request]] = []
    images = []
    for index, raw in enumerate(requests):
        try:
            request = read_request(raw.fields, raw.headers, top_k)
            images.append(model.prepare(request.image, limits))
        except (BadRequestError, BadImageError) as error:
            replies[index] = error_reply(400, str(error))
        except Exception:  # nobody foresaw it: the others of the batch must not pay for it
            logger.exception("a request cannot be read")
            replies[index] = _BUG
        else:
            good.append((index, request))
    if images:
        found = model.classify(np.stack(images), [request.top_k for _, request in good])
        for (index, request), answer in zip(good, found, strict=True):
            replies[index] = _encoded_answer(request, model.version, answer)
    return [replies[index] for index in range(len(requests))]


def error_reply(status: int, message: str) -> Reply:
    """The form of every answer that is not a classification."""
    return Reply(status, encode({"error": message}))


def encode(document: Mapping[str, Any]) -> bytes:
    """JSON in UTF-8, as every answer is."""
    return json.dumps(document, ensure_ascii=False).encode("utf-8", "replace")


_BUG = error_reply(500, "internal error; the server's log has the details")


def _encoded_answer(request: Request, version: int, answer: Answer) -> Reply:
    predictions = answer.predictions
    if request.protocol is not None:
        names, probabilities, cosines = zip(*((p.name, p.probability, p.cosine) for p in predictions), strict=True)
        return Reply(200, encode(open_inference.answer(request.protocol, version, names, probabilities, cosines)))
    document = {
        "model_version": version,
        "predictions": [
            {"class": item.name, "probability": item.probability, "cosine": item.cosine} for item in predictions
        ],
        **({} if answer.unknown is None else {"unknown": answer.unknown, "unknown_score": answer.unknown_score}),
    }
    return Reply(200, encode(document))
