"""Whatever happened to an image file, reading it gives an image or the documented error, and nothing else.

``make fuzz-images`` mutates more files than the everyday count (``FUZZ_IMAGES``, ``FUZZ_SEED``). A failure names the
mutation's seed, its kind of file, and is repeated with ``FUZZ_SEED=<seed> FUZZ_IMAGES=1``.
"""

import os
import random
import struct
import zlib
from collections.abc import Callable
from typing import Final

import numpy as np
import pytest
from PIL import Image, features

from handlers.inference.preprocess import BadImageError, Limits, decode, decode_square, file_suffix, header_pixels
from tests.support.images import colourful, encoded

COUNT: Final = int(os.environ.get("FUZZ_IMAGES", "400"))
SEED: Final = int(os.environ.get("FUZZ_SEED", "1"))
LIMITS: Final = Limits(max_pixels=2_000_000)
SIDE: Final = 16


def originals() -> dict[str, bytes]:
    """Small files of every kind that is read."""
    image, turned = colourful(), Image.Exif()
    turned[0x0112] = 6
    deep = Image.fromarray((np.arange(40 * 30, dtype=np.uint16) * 50).reshape(30, 40))
    files = {
        "jpeg": encoded(image, "JPEG", exif=turned, icc_profile=b"profile" * 20),
        "progressive": encoded(image.resize((160, 120)), "JPEG", progressive=True),
        "cmyk": encoded(image.convert("CMYK"), "JPEG"),
        "png": encoded(image, "PNG"),
        "palette": encoded(image.quantize(16), "PNG", transparency=3),
        "deep": encoded(deep, "PNG"),
        "alpha": encoded(image.convert("RGBA"), "PNG"),
        "gif": encoded(image, "GIF", save_all=True, append_images=[image.transpose(Image.Transpose.ROTATE_180)]),
        "bmp": encoded(image, "BMP"),
        "tiff": encoded(image, "TIFF", compression="tiff_lzw"),
        "tiff-jpeg": encoded(image, "TIFF", compression="jpeg"),
        "tiff-deep": encoded(deep, "TIFF"),
        "webp": encoded(image, "WEBP", exif=turned),
        "webp-lossless": encoded(image.convert("RGBA"), "WEBP", lossless=True),
    }
    return files | ({"avif": encoded(image, "AVIF")} if features.check("avif") else {})


def mutated(draw: random.Random, data: bytes) -> bytes:
    """Bits turned, numbers made extreme, parts cut out, doubled, moved or cut off; checksums of PNGs made right."""
    found = bytearray(data)
    for _ in range(draw.randint(1, 8)):
        # Headers decide most: half of all places are in the first bytes.
        at = draw.randrange(min(len(found), 100) if draw.random() < 0.5 else len(found))
        kind = draw.randrange(7)
        if kind == 0:
            found[at] ^= 1 << draw.randrange(8)
        elif kind == 1:
            found[at : at + 4] = draw.choice([b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\x80"])
        elif kind == 2:
            found[at : at + 2] = draw.randbytes(2)
        elif kind == 3:
            del found[at : at + draw.randint(1, 60)]
        elif kind == 4:
            found[at:at] = found[at : at + draw.randint(1, 200)]
        elif kind == 5:
            other = draw.randrange(len(found))
            found[at : at + 8], found[other : other + 8] = found[other : other + 8], found[at : at + 8]
        elif draw.random() < 0.3:
            del found[at:]
        found = found or bytearray(b"\0")
    return with_checksums(bytes(found)) if found.startswith(b"\x89PNG") and draw.random() < 0.7 else bytes(found)


def with_checksums(data: bytes) -> bytes:
    """A PNG whose chunks say what they are, so that what is in them is looked at."""
    found, at = bytearray(data), 8
    while at + 12 <= len(found):
        (length,) = struct.unpack_from(">I", found, at)
        if at + 12 + length > len(found):
            break
        struct.pack_into(">I", found, at + 8 + length, zlib.crc32(found[at + 4 : at + 8 + length]))
        at += 12 + length
    return bytes(found)


def read(data: bytes) -> bool:
    """Read it in every way; whether it was an image. Raises what nobody expects."""
    calls: tuple[Callable[[], object], ...] = (
        lambda: decode_square(data, LIMITS, SIDE),
        lambda: decode(data, LIMITS),
        lambda: file_suffix(data, LIMITS),
    )
    header_pixels(data, LIMITS)
    answers = []
    for call in calls:
        try:
            call()
        except BadImageError:
            answers.append(False)
        else:
            answers.append(True)
    return answers[0]


@pytest.mark.filterwarnings("ignore")
def test_a_mutated_image_is_an_image_or_a_bad_one() -> None:
    files = originals()
    assert all(read(data) for data in files.values())
    read_all = 0
    for seed in range(SEED, SEED + COUNT):
        draw = random.Random(seed)
        kind = draw.choice(sorted(files))
        try:
            read_all += read(mutated(draw, files[kind]))
        except Exception as error:
            raise AssertionError(f"FUZZ_SEED={seed} ({kind})") from error
    if COUNT > 100:
        assert 0.05 * COUNT < read_all < 0.95 * COUNT  # else the mutations find nothing
