"""The open inference protocol (KServe v2) over REST, as far as TorchServe 0.12 carries it.

TorchServe hands ``POST /v2/models/lucir/infer`` to the handler with its body untouched and answers ``/v2``,
``/v2/health/live`` and ``/v2/health/ready`` itself; it has neither model metadata nor versions in this protocol.
A request has one input of datatype BYTES, its data base64 strings, one for each image. ``parameters: {"top_k": 3}``
says how many classes to name.
"""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

MODEL_NAME: Final = "lucir"
_KINDS: Final = {"class": "BYTES", "probability": "FP32", "cosine": "FP32"}
_WORDS: Final[dict[type, str]] = {str: "text", list: "list", dict: "object"}
OUTPUTS: Final = tuple(_KINDS)
"""Names of the tensors of an answer."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """What a request says around its image."""

    images: tuple[bytes, ...]
    identity: str | None
    top_k: Any
    outputs: tuple[str, ...] = OUTPUTS
    """Names of the tensors that are wanted."""


def read_document(body: bytes) -> dict[str, Any]:
    """The JSON object of a body. Raises ``ValueError``."""
    try:
        document = json.loads(body)
    except ValueError as error:
        raise ValueError(f"the body is neither an image nor a JSON document ({error})") from error
    except RecursionError:
        raise ValueError("the JSON body is nested too deeply") from None
    if not isinstance(document, dict):
        raise ValueError(f"the JSON body is {_name(document)}, where an object is expected")
    return document


def _name(value: Any) -> str:
    """What a JSON value is, with its article."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    word = _WORDS.get(type(value), "number")
    return word if word == "text" else f"a {word}"


def parse(document: dict[str, Any]) -> Envelope:
    """Read a request. Raises ``ValueError`` saying what it lacks."""
    inputs = document.get("inputs")
    if not isinstance(inputs, list) or len(inputs) != 1 or not isinstance(inputs[0], dict):
        given = f"has {len(inputs)} inputs" if isinstance(inputs, list) else "has no list 'inputs'"
        raise ValueError(f"the JSON body {given}, where one is expected")
    data = inputs[0].get("data")
    if inputs[0].get("datatype") != "BYTES" or not isinstance(data, list) or not data:
        raise ValueError("the input is not of datatype BYTES with base64 strings as its data")
    _check(inputs[0], {"name": str, "shape": list, "parameters": dict}, "the input's ")
    _check(document, {"id": str, "parameters": dict, "outputs": list}, "")
    images = tuple(from_base64(each, "the input's data") for each in data)
    parameters = document.get("parameters") or {}
    return Envelope(images, document.get("id"), parameters.get("top_k"), _wanted(document.get("outputs") or []))


def _check(found: dict[str, Any], kinds: dict[str, type], place: str) -> None:
    """What the protocol asks for and is not needed here may be left out, but not be something else."""
    for name, kind in kinds.items():
        if not isinstance(found.get(name), kind | None):
            raise ValueError(f"{place}{name!r} is not a {_WORDS[kind]}")


def _wanted(outputs: list[Any]) -> tuple[str, ...]:
    """The tensors that a request asks for, in the order of ``OUTPUTS``; all where it does not say."""
    if not outputs:
        return OUTPUTS
    names = [each.get("name") if isinstance(each, dict) else None for each in outputs]
    if not all(name in OUTPUTS for name in names):
        raise ValueError(f"'outputs' is not a list of tensors with a 'name' among {', '.join(OUTPUTS)}")
    return tuple(name for name in OUTPUTS if name in names)


def from_base64(text: Any, name: str) -> bytes:
    """The bytes that a JSON document holds as text. Raises ``ValueError``, which calls the place ``name``."""
    try:
        return base64.b64decode(text, validate=True)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{name} is not base64 ({error})") from error


def answer(envelope: Envelope, version: int, rows: Sequence[Sequence[tuple[str, float, float]]]) -> dict[str, Any]:
    """The protocol's form of an answer: the outputs that were asked for, each of shape [images, classes named].

    rows: for each image (class, probability, cosine), best class first, as many for each.
    """
    shape = [len(rows), len(rows[0])]
    document: dict[str, Any] = {"model_name": MODEL_NAME, "model_version": str(version)}
    if envelope.identity is not None:
        document["id"] = envelope.identity
    document["outputs"] = [
        {"name": name, "datatype": kind, "shape": shape, "data": [each[column] for row in rows for each in row]}
        for column, (name, kind) in enumerate(_KINDS.items())
        if name in envelope.outputs
    ]
    return document
