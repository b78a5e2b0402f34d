"""Image files made part by part, for what no library writes."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

PNG = b"\x89PNG\r\n\x1a\n"


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def colourful(width: int = 40, height: int = 30) -> Image.Image:
    """An image in which no two pixels are alike."""
    rows, columns = np.mgrid[0:height, 0:width]
    return Image.fromarray(np.stack([rows * 6, columns * 5, (rows + columns) * 3], axis=-1).astype(np.uint8))


def png_chunk(kind: bytes, data: bytes, *, crc: int | None = None) -> bytes:
    """One chunk; ``crc`` in place of the right checksum."""
    return (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data) if crc is None else crc)
    )


def header_only(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose header promises an image of this size."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = (b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 100)), (b"IEND", b"")
    return PNG + b"".join(png_chunk(kind, data) for kind, data in parts)


def png(depth: int, colour: int, rows: list[bytes], width: int, *chunks: bytes) -> bytes:
    """A PNG of raw ``rows``; ``chunks`` stand before the pixels."""
    header = struct.pack(">IIBBBBB", width, len(rows), depth, colour, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    return b"".join([PNG, png_chunk(b"IHDR", header), *chunks, png_chunk(b"IDAT", pixels), png_chunk(b"IEND", b"")])


def with_chunks(image: bytes, *chunks: bytes, at_end: bool = False) -> bytes:
    """A PNG with more chunks, before its pixels or after them."""
    place = image.rindex(b"IEND") - 4 if at_end else 33
    return image[:place] + b"".join(chunks) + image[place:]


def with_segments(image: bytes, *segments: tuple[int, bytes]) -> bytes:
    """A JPEG with more segments, (marker, content), before all others."""
    more = b"".join(b"\xff" + bytes([marker]) + struct.pack(">H", len(data) + 2) + data for marker, data in segments)
    return image[:2] + more + image[2:]
