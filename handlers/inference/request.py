"""What TorchServe hands a handler for one HTTP request, read into its images and options.

TorchServe 0.12 gives the fields of a form, or the whole body as ``body``; query parameters reach a handler only by
the older routes (``/lucir/predict?top_k=3``), so that ``/predictions/lucir`` takes options as headers or form fields.
A field that a form has several times is a list of values (``repeated_fields``).
"""

import codecs
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from handlers.inference import open_inference
from handlers.inference.formats import recognise

IMAGE_FIELDS: Final = ("data", "body")
TOP_K_FIELD: Final = "top_k"
TOP_K_HEADERS: Final = frozenset({"top-k", "top_k", "x-top-k"})
MOST_IMAGES: Final = 32
"""In one request: all of them are in memory at once."""
_FORM: Final = "application/x-www-form-urlencoded"
_JSON_START: Final = 4096
"""Bytes in which the first character that is not white space is looked for."""
_LONGEST_NUMBER: Final = 18
"""Digits of ``top_k``: Python refuses to read very long numbers, and no version has so many classes."""


class BadRequestError(ValueError):
    """The request holds no image, or an option has no meaning; the message says what to send."""

    status = 400


class UnsupportedBodyError(BadRequestError):
    """The body is packed or put together in a way that is not read, whatever lies inside."""

    status = 415


@dataclass(frozen=True, slots=True)
class Request:
    """The images to classify, how many classes to name, and the form of the answer.

    ``protocol`` is None for the plain answer, else the open inference protocol's request.
    """

    images: tuple[bytes, ...]
    top_k: int
    protocol: open_inference.Envelope | None = None
    as_list: bool = False
    """Whether the answer is a list although there may be one image only."""


def read_request(fields: Mapping[str, Any], headers: Mapping[str, Any], default_top_k: int) -> Request:
    """Read one request. ``headers`` may hold dictionaries (TorchServe mixes part headers in), which are skipped.

    Raises ``BadRequestError``.
    """
    plain = {name.lower(): value for name, value in headers.items() if isinstance(value, str)}
    _check_packing(plain)
    images = tuple(_images(fields))
    if not images and plain.get("content-type", "").startswith(_FORM):
        raise BadRequestError(
            f"the body was sent as {_FORM}, which destroys an image: "
            "use curl -T image.jpg, or -F data=@image.jpg, or the header Content-Type: image/jpeg"
        )
    if not images:
        raise BadRequestError("no image: send it as the body of the request, or as the form field 'data'")
    if len(images) > MOST_IMAGES:
        raise BadRequestError(f"the form holds {len(images)} images; at most {MOST_IMAGES} are answered in one request")
    if len(images) == 1 and _is_json(images[0], plain):
        return _json_request(images[0], plain, default_top_k)
    return Request(images, _top_k([fields.get(TOP_K_FIELD), *_header_top_k(plain)], default_top_k))


def _check_packing(headers: Mapping[str, str]) -> None:
    """Raise ``UnsupportedBodyError`` for what no image can be found in; else the content decides, not its type."""
    coding = headers.get("content-encoding", "").strip().lower()
    if coding not in ("", "identity"):
        raise UnsupportedBodyError(f"the body is packed ({coding[:40]!r}): send it without a Content-Encoding")
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind.startswith("multipart/") and kind != "multipart/form-data":
        raise UnsupportedBodyError(f"the body was sent as {kind[:40]!r}: send several images as multipart/form-data")


def _is_json(body: bytes, headers: Mapping[str, str]) -> bool:
    """Whether a body is meant as JSON: by how it begins, else by its type where its content tells nothing."""
    if body.removeprefix(codecs.BOM_UTF8)[:_JSON_START].lstrip().startswith((b"{", b"[")):
        return True
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    return (kind == "application/json" or kind.endswith("+json")) and recognise(body) is None


def _json_request(body: bytes, headers: Mapping[str, str], default_top_k: int) -> Request:
    """A JSON document: ``{"image": base64}``, ``{"images": [base64, ...]}``, or the open inference protocol's."""
    try:
        document = open_inference.read_document(body)
        envelope = None
        if "images" in document and isinstance(document["images"], list) and document["images"]:
            found = tuple(open_inference.from_base64(each, "an entry of 'images'") for each in document["images"])
        elif "image" in document:
            found = (open_inference.from_base64(document["image"], "'image'"),)
        else:
            envelope = open_inference.parse(document)
            found = envelope.images
    except ValueError as error:
        raise BadRequestError(
            f'{error}; send the bytes of an image file, or as JSON {{"image": base64}}, {{"images": [base64, ...]}} '
            "or an open inference protocol request"
        ) from error
    if len(found) > MOST_IMAGES:
        raise BadRequestError(f"there are {len(found)} images; at most {MOST_IMAGES} are answered in one request")
    top_k = envelope.top_k if envelope is not None else document.get(TOP_K_FIELD)
    top_k = _top_k([top_k, *_header_top_k(headers)], default_top_k)
    return Request(found, top_k, envelope, as_list="images" in document)


def _images(fields: Mapping[str, Any]) -> Iterator[bytes]:
    """The images in the order in which the form names them, whatever their fields are called.

    Raises ``BadRequestError`` for a field that is neither an image nor an option, rather than leave it out.
    """
    known = any(fields.get(name) is not None for name in IMAGE_FIELDS)
    for name, value in fields.items():
        values = value if isinstance(value, list) else [value]
        found = [bytes(each) for each in values if isinstance(each, bytes | bytearray)]
        if name in IMAGE_FIELDS or (found and all(recognise(each) is not None for each in found)):
            if len(found) != len(values):
                raise BadRequestError(f"the form field {name[:40]!r} holds text: send the bytes of an image file")
            yield from found
        elif known and name != TOP_K_FIELD:
            raise BadRequestError(
                f"the form field {name[:40]!r} is neither an image nor an option: send images as 'data', "
                f"and how many classes to name as {TOP_K_FIELD!r}"
            )


def _header_top_k(headers: Mapping[str, str]) -> list[str]:
    return [text for name, text in headers.items() if name in TOP_K_HEADERS]


def _top_k(values: Iterable[Any], default: int) -> int:
    """The first value that was sent, be it in the body, the query or a header; each must be one."""
    found = [_whole_number(value) for value in values if value is not None]
    return found[0] if found else default


def _whole_number(value: Any) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # 3.0 is a whole number of JSON
    text = value.decode("utf-8", "replace") if isinstance(value, bytes | bytearray) else value
    text = str(text) if isinstance(text, str) or type(text) is int else repr(type(text).__name__)
    digits = text.strip()
    if not (digits.isascii() and digits.isdigit() and len(digits) <= _LONGEST_NUMBER and int(digits) >= 1):
        raise BadRequestError(f"top_k is {text[:40]!r}: it must be a whole number from 1 up")
    return int(digits)
