"""The open inference protocol (KServe v2) over REST, as far as TorchServe 0.12 carries it.

TorchServe hands ``POST /v2/models/lucir/infer`` to the handler with its body untouched and answers ``/v2``,
``/v2/health/live`` and ``/v2/health/ready`` itself; it has neither model metadata nor versions in this protocol.
A request names one image (TorchServe makes the batches): an input of datatype BYTES and shape [1], its data one
base64 string. ``parameters: {"top_k": 3}`` says how many classes to name.
"""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

MODEL_NAME: Final = "lucir"


@dataclass(frozen=True, slots=True)
class Envelope:
    """What a request says around its image."""

    image: bytes
    identity: str | None
    top_k: Any


def parse(body: bytes) -> Envelope:
    """Read a request. Raises ``ValueError`` saying what it lacks."""
    try:
        document = json.loads(body)
    except ValueError as error:
        raise ValueError(f"the body is neither an image nor a JSON document ({error})") from error
    except RecursionError:
        raise ValueError("the JSON body is nested too deeply") from None
    inputs = document.get("inputs") if isinstance(document, dict) else None
    if not isinstance(inputs, list) or len(inputs) != 1 or not isinstance(inputs[0], dict):
        given = f"has {len(inputs)} inputs" if isinstance(inputs, list) else "has no list 'inputs'"
        raise ValueError(f"the JSON body {given}, where one is expected")
    data = inputs[0].get("data")
    if inputs[0].get("datatype") != "BYTES" or not isinstance(data, list) or len(data) != 1:
        given = f" (it has {len(data)} values)" if isinstance(data, list) else ""
        raise ValueError(f"the input is not of datatype BYTES with one base64 string as its data{given}")
    try:
        image = base64.b64decode(data[0], validate=True)
    except (ValueError, TypeError) as error:
        raise ValueError(f"the input's data is not base64 ({error})") from error
    parameters = document.get("parameters")
    identity = document.get("id")
    return Envelope(
        image,
        identity if isinstance(identity, str) else None,
        parameters.get("top_k") if isinstance(parameters, dict) else None,
    )


def answer(
    envelope: Envelope, version: int, names: Sequence[str], probabilities: Sequence[float], cosines: Sequence[float]
) -> dict[str, Any]:
    """The protocol's form of an answer: three outputs of shape [1, classes named], best class first."""
    shape = [1, len(names)]
    document: dict[str, Any] = {"model_name": MODEL_NAME, "model_version": str(version)}
    if envelope.identity is not None:
        document["id"] = envelope.identity
    document["outputs"] = [
        {"name": "class", "datatype": "BYTES", "shape": shape, "data": list(names)},
        {"name": "probability", "datatype": "FP32", "shape": shape, "data": list(probabilities)},
        {"name": "cosine", "datatype": "FP32", "shape": shape, "data": list(cosines)},
    ]
    return document
