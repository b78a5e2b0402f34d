"""What TorchServe hands a handler for one HTTP request, read into an image and its options.

TorchServe 0.12 gives the fields of a form, or the whole body as ``body``; query parameters reach a handler only by
the older routes (``/lucir/predict?top_k=3``), so that ``/predictions/lucir`` takes options as headers or form fields.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

IMAGE_FIELDS: Final = ("data", "body")
TOP_K_FIELD: Final = "top_k"
TOP_K_HEADERS: Final = frozenset({"top-k", "top_k", "x-top-k"})
_FORM: Final = "application/x-www-form-urlencoded"


class BadRequestError(ValueError):
    """The request holds no image, or an option has no meaning; the message says what to send."""


@dataclass(frozen=True, slots=True)
class Request:
    """One image to classify and how many classes to name."""

    image: bytes
    top_k: int


def read_request(fields: Mapping[str, Any], headers: Mapping[str, Any], default_top_k: int) -> Request:
    """Read one request. ``headers`` may hold dictionaries (TorchServe mixes part headers in), which are skipped.

    Raises ``BadRequestError``.
    """
    plain = {name.lower(): value for name, value in headers.items() if isinstance(value, str)}
    image = next((fields[name] for name in IMAGE_FIELDS if fields.get(name) is not None), None)
    if image is None and plain.get("content-type", "").startswith(_FORM):
        raise BadRequestError(
            f"the body was sent as {_FORM}, which destroys an image: "
            "use curl -T image.jpg, or -F data=@image.jpg, or the header Content-Type: image/jpeg"
        )
    if image is None:
        raise BadRequestError("no image: send it as the body of the request, or as the form field 'data'")
    if not isinstance(image, bytes | bytearray):
        raise BadRequestError("the body is text or JSON: send the bytes of an image file")
    return Request(bytes(image), _top_k(fields, plain, default_top_k))


def _top_k(fields: Mapping[str, Any], headers: Mapping[str, str], default: int) -> int:
    value = fields.get(TOP_K_FIELD)
    if value is None:
        value = next((text for name, text in headers.items() if name in TOP_K_HEADERS), None)
    if value is None:
        return default
    text = value.decode("utf-8", "replace") if isinstance(value, bytes | bytearray) else str(value)
    if not text.strip().isdecimal() or int(text) < 1:
        raise BadRequestError(f"top_k is {text[:40]!r}: it must be a whole number from 1 up")
    return int(text)
