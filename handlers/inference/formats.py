"""What a file is, by its content: the formats that are read, and the names of those that are not."""

from importlib import import_module
from importlib.util import find_spec
from typing import Final

from PIL import features

FORMATS: Final = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
"""What is always read, judged by content and not by name: none of Pillow's rarer parsers sees a stranger's bytes."""

SEND: Final = "send JPEG, PNG, WebP, BMP, GIF or TIFF"

IMAGE_KINDS: Final = frozenset({"JPEG", "PNG", "WebP", "BMP", "GIF", "TIFF", "HEIC", "AVIF"})
"""Of the answers of ``recognise``: what is read, here or on a machine with all decoders."""

_HEIC_BRANDS: Final = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
_AVIF_BRANDS: Final = frozenset({b"avif", b"avis"})
_SIGNATURES: Final = (
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"GIF8", "GIF"),
    (b"BM", "BMP"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"8BPS", "Photoshop"),
    (b"%PDF", "PDF"),
    (b"\0\0\x01\0", "icon"),
    (b"gimp xcf", "GIMP"),
    (b"qoif", "QOI"),
    (b"DDS ", "DDS"),
    (b"\x76\x2f\x31\x01", "OpenEXR"),
    (b"PK\x03\x04", "ZIP archive"),
    (b"\x1f\x8b", "gzip archive"),
    (b"\x1aE\xdf\xa3", "video"),
)
_TEXTS: Final = ((b"<svg", "SVG drawing"), (b"<html", "web page"), (b"<!doctype html", "web page"))
_TEXT_START: Final = 1024
"""Bytes in which the first element of a text file is looked for."""


def readable() -> tuple[str, ...]:
    """Pillow's names of the formats that are read here: the usual ones and, where their decoders are there, AVIF and
    HEIF (the extra ``heif``)."""
    found = list(FORMATS)
    if features.check("avif"):
        found.append("AVIF")
    if _register_heif():
        found.append("HEIF")
    return tuple(found)


def recognise(data: bytes) -> str | None:
    """What the file seems to be, in words; None where its first bytes tell nothing."""
    if data[4:8] == b"ftyp":
        brands = {data[8:12], *(data[place : place + 4] for place in range(16, min(64, len(data)), 4))}
        major = data[8:12]
        if major in _AVIF_BRANDS or (major in {b"mif1", b"msf1"} and brands & _AVIF_BRANDS):
            return "AVIF"
        if major in _HEIC_BRANDS:
            return "HEIC"
        return "camera raw" if major == b"crx " else "video"
    if data[:4] == b"RIFF":
        return "WebP" if data[8:12] == b"WEBP" else "video or sound"
    for start, name in _SIGNATURES:
        if data.startswith(start):
            return name
    text = data[:_TEXT_START].lstrip().lower()
    if text.startswith(b"<"):
        return next((name for mark, name in _TEXTS if mark in text), None)
    return None


def why_unreadable(data: bytes) -> str:
    """Why Pillow finds no known format in ``data``, and what to do about it, as a message to the sender."""
    name = recognise(data)
    if name == "HEIC":
        return (
            "the file is a HEIC image, as phones make them, which is not read here: save it as JPEG, "
            "or install the server's extra for them: pip install 'lucir[heif]'"
        )
    if name == "AVIF" and not features.check("avif"):
        return "the file is an AVIF image, which this Pillow cannot read: save it as JPEG, or install pillow>=11.3"
    if name is None:
        return f"the file is not an image, or its header is damaged: {SEND}"
    if name in IMAGE_KINDS:
        return f"the header of the {name} image is damaged: send the whole file again"
    kind = name if name.startswith("video") or name.endswith(("archive", "page", "drawing")) else f"{name} file"
    return f"the file is not an image that is read here but a {kind}: {SEND}"


def _register_heif() -> bool:
    """Whether HEIF can be read; Pillow learns it from a package that only the extra ``heif`` installs."""
    if find_spec("pillow_heif") is None:
        return False
    import_module("pillow_heif").register_heif_opener(thumbnails=False)
    return True
