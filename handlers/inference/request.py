"""What TorchServe hands a handler for one HTTP request, read into an image and its options.

TorchServe 0.12 gives the fields of a form, or the whole body as ``body``; query parameters reach a handler only by
the older routes (``/lucir/predict?top_k=3``), so that ``/predictions/lucir`` takes options as headers or form fields.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from handlers.inference import open_inference

IMAGE_FIELDS: Final = ("data", "body")
TOP_K_FIELD: Final = "top_k"
TOP_K_HEADERS: Final = frozenset({"top-k", "top_k", "x-top-k"})
_FORM: Final = "application/x-www-form-urlencoded"


class BadRequestError(ValueError):
    """The request holds no image, or an option has no meaning; the message says what to send."""


@dataclass(frozen=True, slots=True)
class Request:
    """One image to classify, how many classes to name, and the form of the answer.

    ``protocol`` is None for the plain answer, else the open inference protocol's request.
    """

    image: bytes
    top_k: int
    protocol: open_inference.Envelope | None = None


def read_request(fields: Mapping[str, Any], headers: Mapping[str, Any], default_top_k: int) -> Request:
    """Read one request. ``headers`` may hold dictionaries (TorchServe mixes part headers in), which are skipped.

    Raises ``BadRequestError``.
    """
    plain = {name.lower(): value for name, value in headers.items() if isinstance(value, str)}
    content_type = plain.get("content-type", "")
    image = next((fields[name] for name in IMAGE_FIELDS if fields.get(name) is not None), None)
    if image is None and content_type.startswith(_FORM):
        raise BadRequestError(
            f"the body was sent as {_FORM}, which destroys an image: "
            "use curl -T image.jpg, or -F data=@image.jpg, or the header Content-Type: image/jpeg"
        )
    if not isinstance(image, bytes | bytearray):
        raise BadRequestError("no image: send it as the body of the request, or as the form field 'data'")
    if image[:1] == b"{":
        try:
            envelope = open_inference.parse(bytes(image))
        except ValueError as error:
            raise BadRequestError(
                f"{error}; send the bytes of an image file, or an open inference protocol request with one image"
            ) from error
        top_k = envelope.top_k if envelope.top_k is not None else _header_top_k(plain)
        return Request(envelope.image, _top_k(top_k, default_top_k), envelope)
    value = fields.get(TOP_K_FIELD)
    return Request(bytes(image), _top_k(value if value is not None else _header_top_k(plain), default_top_k))


def _header_top_k(headers: Mapping[str, str]) -> str | None:
    return next((text for name, text in headers.items() if name in TOP_K_HEADERS), None)


def _top_k(value: Any, default: int) -> int:
    if value is None:
        return default
    text = value.decode("utf-8", "replace") if isinstance(value, bytes | bytearray) else str(value)
    if not text.isascii() or not text.strip().isdigit() or int(text) < 1:
        raise BadRequestError(f"top_k is {text[:40]!r}: it must be a whole number from 1 up")
    return int(text)
