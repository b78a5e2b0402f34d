"""What a file is, told by its content."""

import numpy as np
import pytest
from PIL import Image, features

from handlers.inference import image_file
from handlers.inference.formats import FORMATS, recognise
from handlers.inference.preprocess import BadImageError, Limits, decode, file_suffix
from tests.support.images import colourful, encoded

LIMITS = Limits()


@pytest.fixture
def heif() -> None:
    """The package of the extra, known to Pillow."""
    pytest.importorskip("pillow_heif").register_heif_opener(thumbnails=False)


def box(brand: bytes, *others: bytes) -> bytes:
    """The start of a file of the family that HEIC, AVIF and MP4 belong to."""
    body = brand + bytes(4) + b"".join(others)
    return (len(body) + 8).to_bytes(4) + b"ftyp" + body + bytes(64)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (box(b"heic", b"mif1", b"heic"), "HEIC"),
        (box(b"mif1", b"mif1", b"heic"), "HEIC"),
        (box(b"avif", b"mif1"), "AVIF"),
        (box(b"mif1", b"avif"), "AVIF"),
        (box(b"isom", b"avc1"), "video"),
        (b"\xff\x0a" + bytes(30), "JPEG XL"),
        (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(30), "JPEG XL"),
        (b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(30), "JPEG 2000"),
        (b"8BPS\0\1" + bytes(30), "Photoshop"),
        (b"%PDF-1.7\n", "PDF"),
        (b"<?xml version='1.0'?>\n<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b"<!DOCTYPE html><html>404</html>", "web page"),
        (b"PK\x03\x04" + bytes(30), "ZIP"),
    ],
)
def test_what_is_not_read_is_named(data: bytes, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine without decoders of HEIC and AVIF."""
    monkeypatch.setattr(image_file, "_formats", lambda: FORMATS)
    monkeypatch.setattr(features, "check", lambda _: False)
    with pytest.raises(BadImageError, match=name) as caught:
        decode(data, LIMITS)
    assert any(word in str(caught.value) for word in ("save it as JPEG", "send JPEG"))
    assert "not an image, or" not in str(caught.value)


def test_heic_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_file, "_formats", lambda: FORMATS)
    with pytest.raises(BadImageError, match=r"lucir\[heif\]"):
        decode(box(b"heic"), LIMITS)


@pytest.mark.parametrize("form", ["AVIF", "HEIF"])
@pytest.mark.usefixtures("heif")
def test_decoders_that_are_there_are_used(form: str) -> None:
    data = encoded(colourful(64, 48), form, quality=90)
    got = np.asarray(decode(data, LIMITS)).astype(int)
    assert abs(got - np.asarray(colourful(64, 48))).mean() < 10
    assert file_suffix(data, LIMITS) == {"AVIF": ".avif", "HEIF": ".heic"}[form]
    with pytest.raises(BadImageError, match="pixels"):
        decode(data, Limits(max_pixels=3000))
    with pytest.raises(BadImageError):
        decode(data[: len(data) // 2], LIMITS)


@pytest.mark.parametrize("form", FORMATS)
def test_what_is_read_is_recognised(form: str) -> None:
    assert (recognise(encoded(Image.new("RGB", (8, 8)), form)) or "").upper() == form


def test_a_damaged_header_is_not_called_another_kind_of_file() -> None:
    data = bytearray(encoded(colourful(), "PNG"))
    data[16:24] = bytes(8)
    with pytest.raises(BadImageError, match="PNG"):
        decode(bytes(data), LIMITS)
