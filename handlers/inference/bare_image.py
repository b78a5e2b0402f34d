"""An image file without its metadata: only the parts from which its pixels are made.

Comments, profiles and timestamps say nothing about pixels, but a decoder that stumbles over one of them gives up the
whole image. ``preprocess.decode`` then tries what is left here.
"""

import struct
import zlib
from dataclasses import dataclass
from typing import Final

_UNPACKED_LIMIT: Final = 64 * 1024 * 1024
"""Bytes that one compressed comment may unpack to: more is a bomb, not a comment."""
_DEFLATE_RATIO: Final = 1032
"""Most that deflate can pack: a shorter chunk cannot reach the limit and is not unpacked."""

_PNG: Final = b"\x89PNG\r\n\x1a\n"
_PNG_PIXELS: Final = (b"PLTE", b"tRNS")
_PNG_PACKED: Final = (b"zTXt", b"iTXt", b"iCCP")

_JPEG: Final = b"\xff\xd8\xff"
_START_OF_SCAN, _COMMENT = 0xDA, 0xFE
_ALONE: Final = frozenset({0x01, *range(0xD0, 0xD9)})
"""JPEG markers without a length."""
_EXIF: Final = b"Exif\0\0"

_TIFF_PIXELS: Final = frozenset(
    {
        *(254, 255, 256, 257, 258, 259, 262, 266, 273, 274, 277, 278, 279, 284, 292, 293, 317, 320, 322, 323, 324, 325),
        *(332, 334, 338, 339, 347, *range(512, 522), 529, 530, 531, 532),
    }
)
"""Tags that say how the pixels are stored, and the orientation."""


class PackedBombError(ValueError):
    """A comment unpacks to more memory than any comment needs."""


@dataclass(frozen=True, slots=True)
class BareImage:
    """``data``: the file without metadata. ``exif``: its EXIF block, where the orientation stands, if it had one."""

    data: bytes
    exif: bytes | None = None


def without_metadata(data: bytes) -> BareImage | None:
    """The image without its metadata; None where there is nothing to take out (or the format keeps none apart).

    Raises ``PackedBombError``.
    """
    found: BareImage | None
    if data.startswith(_PNG):
        found = _bare_png(data)
    elif data.startswith(_JPEG):
        found = _bare_jpeg(data)
    elif data[:4] in {b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"}:
        found = _bare_tiff(data)
    else:
        return None
    return found if found is not None and found.data != data else None


def _bare_png(data: bytes) -> BareImage:
    kept, exif, position = [_PNG], None, len(_PNG)
    while position < len(data):
        length, kind = int.from_bytes(data[position : position + 4]), data[position + 4 : position + 8]
        end = position + 12 + length
        if end > len(data) or len(kind) < 4:
            kept.append(data[position:])
            break
        body = data[position + 8 : end - 4]
        if kind in _PNG_PIXELS or not kind[0] & 0x20:  # the first letter of a chunk that is needed is a capital
            kept.append(data[position:end])
        elif kind == b"eXIf" and zlib.crc32(kind + body) == int.from_bytes(data[end - 4 : end]):
            exif = _EXIF + body
        elif kind in _PNG_PACKED and length * _DEFLATE_RATIO > _UNPACKED_LIMIT:
            _check_packed(_packed(kind, body))
        if kind == b"IEND":
            break
        position = end
    return BareImage(b"".join(kept), exif)


def _packed(kind: bytes, body: bytes) -> bytes:
    """The compressed part of a text or profile chunk."""
    rest = body.partition(b"\0")[2]
    if kind != b"iTXt":
        return rest[1:]
    return rest[2:].split(b"\0", 2)[-1] if rest[:1] == b"\1" else b""


def _check_packed(data: bytes) -> None:
    unpacker = zlib.decompressobj()
    size = 0
    try:
        while data and size <= _UNPACKED_LIMIT:
            size += len(unpacker.decompress(data, 1 << 20))
            data = unpacker.unconsumed_tail
    except zlib.error:
        return  # damaged: nobody will unpack it
    if size > _UNPACKED_LIMIT:
        raise PackedBombError(f"a comment in it unpacks to more than {_UNPACKED_LIMIT >> 20} MiB")


def _bare_jpeg(data: bytes) -> BareImage:
    kept, exif, position = [data[:2]], None, 2
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF:  # a fill byte
            position += 1
            continue
        if marker in _ALONE:
            kept.append(data[position : position + 2])
            position += 2
            continue
        end = position + 2 + int.from_bytes(data[position + 2 : position + 4])
        body = data[position + 4 : end]
        if marker == _START_OF_SCAN or end > len(data):
            break
        # JFIF's and Adobe's own segments say which colours the numbers mean.
        if not (0xE0 <= marker <= 0xEF or marker == _COMMENT) or body.startswith((b"JFIF", b"Adobe")):
            kept.append(data[position:end])
        elif exif is None and body.startswith(_EXIF):
            exif = body
        position = end
    kept.append(data[position:])
    return BareImage(b"".join(kept), exif)


def _bare_tiff(data: bytes) -> BareImage | None:
    """The first directory rewritten in its place with the tags that pixels need; no other directory follows it."""
    order = "<" if data.startswith(b"II") else ">"
    big = data[2:4] in {b"+\0", b"\0+"}
    offset_form, count_form, entry_size = ("Q", "Q", 20) if big else ("I", "H", 12)
    try:
        (start,) = struct.unpack_from(order + offset_form, data, 8 if big else 4)
        (count,) = struct.unpack_from(order + count_form, data, start)
    except (struct.error, OverflowError):
        return None
    first = start + struct.calcsize(count_form)
    end = first + count * entry_size
    if end + struct.calcsize(offset_form) > len(data):
        return None
    entries = [data[place : place + entry_size] for place in range(first, end, entry_size)]
    kept = [entry for entry in entries if struct.unpack_from(order + "H", entry)[0] in _TIFF_PIXELS]
    directory = struct.pack(order + count_form, len(kept)) + b"".join(kept) + struct.pack(order + offset_form, 0)
    return BareImage(data[:start] + directory + data[start + len(directory) :])
