"""From the bytes of an image file to the model's input: the same code for training data and for requests.

Pillow and numpy only, because the worker that answers requests imports this and its start is part of every swap.
"""

from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from handlers.inference.colours import to_rgb, upright
from handlers.inference.image_file import (
    BadImageError,
    DamagedImageError,
    ImageFile,
    header_pixels,
    make_from,
)
from handlers.inference.image_limits import ImageRules, Limits

__all__ = [
    "BadImageError",
    "DamagedImageError",
    "ImageRules",
    "Interpolation",
    "Limits",
    "crop",
    "decode",
    "decode_square",
    "file_suffix",
    "header_pixels",
    "to_array",
]

Interpolation = Literal["bilinear", "bicubic", "lanczos", "nearest"]

SPARE: Final = 2
"""Pixels along a side that a JPEG keeps at least, per pixel of the square, when it is scaled while it is decoded: the
resampling after that still averages. How near a whole decode that is: tests/handlers/inference/test_scaled_jpeg.py"""

_SUFFIXES: Final = {"JPEG": ".jpg", "MPO": ".jpg", "TIFF": ".tif", "HEIF": ".heic"}
"""Of those formats whose files are not named as Pillow names the format."""

_FILTERS: Final = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
    "nearest": Image.Resampling.NEAREST,
}


def decode(data: bytes, limits: ImageRules) -> Image.Image:
    """Decode an image file to upright RGB: first frame, alpha over white, 16 bits scaled to 8.

    The size is checked in the header, before any pixel is decoded; metadata decides nothing but what is up. Raises
    ``BadImageError``, whatever is wrong.
    """
    return make_from(data, limits, _decode)


def decode_square(
    data: bytes, limits: ImageRules, resize: int, interpolation: Interpolation = "bilinear"
) -> NDArray[np.uint8]:
    """``to_array`` of ``decode``: (resize, resize, 3). What learning, evaluation and serving make of an image file.

    A JPEG that is much larger is decoded at a half, a quarter or an eighth of its size, as long as its shorter side
    keeps ``SPARE`` pixels for each that is wanted; every other image becomes exactly what the two functions give.
    Raises ``BadImageError``.
    """
    return make_from(data, limits, lambda file: _decode_square(file, resize, interpolation))


def file_suffix(data: bytes, limits: ImageRules) -> str:
    """The file name's ending for an image, by its content: ``.jpg``, ``.png`` ... Raises ``BadImageError``."""

    def name(file: ImageFile) -> str:
        file.image.load()
        return file.image.format or ""

    found = make_from(data, limits, name)
    return _SUFFIXES.get(found, f".{found.lower()}")


def to_array(image: Image.Image, resize: int, interpolation: Interpolation = "bilinear") -> NDArray[np.uint8]:
    """The central square of an RGB image, its side resampled to ``resize`` pixels: (resize, resize, 3).

    The square is cut while resampling, not after it, so that a strip of 10 x 100000 pixels costs no memory.
    An image that has the right size comes back unchanged.
    """
    width, height = image.size
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    box = (left, top, left + side, top + side)
    square = image.crop(box) if side == resize else image.resize((resize, resize), _FILTERS[interpolation], box=box)
    return np.array(square, dtype=np.uint8)


def crop(array: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """The centre of an image: (height, width, 3) to (size, size, 3). Raises ``ValueError`` when it is smaller."""
    height, width = array.shape[:2]
    if size > min(height, width):
        raise ValueError(f"an image of {width}x{height} has no centre of {size}x{size}")
    top, left = (height - size) // 2, (width - size) // 2
    return np.ascontiguousarray(array[top : top + size, left : left + size])


def _decode(file: ImageFile) -> Image.Image:
    file.image.load()
    return upright(to_rgb(file.image, file.raw), file.orientation())


def _decode_square(file: ImageFile, resize: int, interpolation: Interpolation) -> NDArray[np.uint8]:
    scaled = _scale(file.image, resize)
    if scaled is None:
        return to_array(_decode(file), resize, interpolation)
    file.image.load()
    width, height = scaled
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    box = (left, top, left + side, top + side)
    square = to_rgb(file.image, file.raw).resize((resize, resize), _FILTERS[interpolation], box=box)
    return np.array(upright(square, file.orientation()), dtype=np.uint8)


def _scale(image: Image.Image, resize: int) -> tuple[float, float] | None:
    """Have a JPEG decoded at its smallest scale with enough pixels.

    Gives the part of the scaled image that the original covers, width and height: its last row and column may reach
    beyond. None where nothing is scaled.
    """
    shorter = min(image.size)
    if image.format != "JPEG" or shorter < 2 * SPARE * resize:
        return None
    drafted = image.draft(None, (SPARE * resize * image.width // shorter, SPARE * resize * image.height // shorter))
    if drafted is None:
        return None
    _, (_, _, width, height) = drafted
    return width, height
