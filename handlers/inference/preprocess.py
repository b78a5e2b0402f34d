"""From the bytes of an image file to the model's input: the same code for training data and for requests.

Pillow and numpy only, because the worker that answers requests imports this and its start is part of every swap.
"""

import io
from dataclasses import dataclass
from typing import Final, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

Interpolation = Literal["bilinear", "bicubic", "lanczos", "nearest"]

FORMATS: Final = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
"""What is accepted, judged by content and not by name: none of Pillow's rarer parsers sees a stranger's bytes."""

SPARE: Final = 2
"""Pixels along a side that a JPEG keeps at least, per pixel of the square, when it is scaled while it is decoded: the
resampling after that still averages. How near a whole decode that is: tests/handlers/inference/test_scaled_jpeg.py"""

_FILTERS: Final = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
    "nearest": Image.Resampling.NEAREST,
}


class BadImageError(ValueError):
    """The bytes are no image that can be used; the message says why, in words for whoever sent them."""


class ImageRules(Protocol):
    """What counts as an image. ``handlers.settings.ImageLimits`` and ``Limits`` both fit."""

    @property
    def max_bytes(self) -> int:
        """Largest file, in bytes."""

    @property
    def max_pixels(self) -> int:
        """Largest width times height. Pillow's own bound, 178 million, holds whatever is set here."""

    @property
    def min_side(self) -> int:
        """Smallest width and height, in pixels."""


@dataclass(frozen=True, slots=True)
class Limits:
    """``ImageRules`` with the defaults of the settings tree but without its imports."""

    max_bytes: int = 20 * 1024 * 1024
    max_pixels: int = 50_000_000
    min_side: int = 4


def decode(data: bytes, limits: ImageRules) -> Image.Image:
    """Decode an image file to upright RGB: first frame, alpha over white, 16 bits scaled to 8.

    The size is checked in the header, before any pixel is decoded. Raises ``BadImageError``.
    """
    image = _open_within(data, limits)
    _load(image)
    return _upright(_to_rgb(image), image)


def decode_square(
    data: bytes, limits: ImageRules, resize: int, interpolation: Interpolation = "bilinear"
) -> NDArray[np.uint8]:
    """``to_array`` of ``decode``: (resize, resize, 3). What learning, evaluation and serving make of an image file.

    A JPEG that is much larger is decoded at a half, a quarter or an eighth of its size, as long as its shorter side
    keeps ``SPARE`` pixels for each that is wanted; every other image becomes exactly what the two functions give.
    Raises ``BadImageError``.
    """
    image = _open_within(data, limits)
    scaled = _scale(image, resize)
    _load(image)
    if scaled is None:
        return to_array(_upright(_to_rgb(image), image), resize, interpolation)
    width, height = scaled
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    box = (left, top, left + side, top + side)
    square = _to_rgb(image).resize((resize, resize), _FILTERS[interpolation], box=box)
    return np.array(_upright(square, image), dtype=np.uint8)


def file_suffix(data: bytes, limits: ImageRules) -> str:
    """The file name's ending for an image, by its content: ``.jpg``, ``.png`` ... Raises ``BadImageError``."""
    decode(data, limits)
    suffix = {"JPEG": ".jpg", "TIFF": ".tif"}
    found = _open(data).format or ""
    return suffix.get(found, f".{found.lower()}")


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
    """The centre of a picture: (height, width, 3) to (size, size, 3). Raises ``ValueError`` when it is smaller."""
    height, width = array.shape[:2]
    if size > min(height, width):
        raise ValueError(f"a picture of {width}x{height} has no centre of {size}x{size}")
    top, left = (height - size) // 2, (width - size) // 2
    return np.ascontiguousarray(array[top : top + size, left : left + size])


def _open_within(data: bytes, limits: ImageRules) -> Image.Image:
    """The image of a file that the limits allow, none of its pixels decoded yet."""
    if not data:
        raise BadImageError("the file is empty")
    if len(data) > limits.max_bytes:
        raise BadImageError(f"the file has {len(data)} bytes; at most {limits.max_bytes} are accepted")
    image = _open(data)
    _check_size(image.size, limits)
    return image


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


def _load(image: Image.Image) -> None:
    try:
        image.load()
    except MemoryError as error:
        raise BadImageError(f"the image of {image.width}x{image.height} pixels does not fit in memory") from error
    except Exception as error:  # Pillow's decoders raise whatever the damage leads to
        raise BadImageError(f"the {image.format} image is damaged or truncated: {error}") from error


def _open(data: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError:
        raise BadImageError(
            "the file is no image, or its header is damaged: send JPEG, PNG, WebP, BMP, GIF or TIFF"
        ) from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise BadImageError(f"the image is too large: {error}") from error
    except Exception as error:  # as for load(): the header's parsers raise whatever the damage leads to
        raise BadImageError(f"the image's header is damaged: {error}") from error


def _check_size(size: tuple[int, int], limits: ImageRules) -> None:
    width, height = size
    if width * height > limits.max_pixels:
        raise BadImageError(
            f"the image has {width}x{height} = {width * height} pixels; at most {limits.max_pixels} are accepted"
        )
    if min(width, height) < limits.min_side:
        raise BadImageError(f"the image has {width}x{height} pixels; each side needs at least {limits.min_side}")


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        # Pillow would clip at 255; 65535 is white.
        levels = np.asarray(image).astype(np.uint32)
        return Image.fromarray(((levels + 128) // 257).astype(np.uint8)).convert("RGB")
    if image.mode in {"I", "F"}:
        raise BadImageError(f"pixels of 32 bits (mode {image.mode}) have no defined white: save the image with 8 bits")
    try:
        if image.has_transparency_data:
            layer = image.convert("RGBA")
            return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
        # convert() copies an image that is RGB already: 40 ms for 12 megapixels.
        return image if image.mode == "RGB" else image.convert("RGB")
    except ValueError as error:
        raise BadImageError(f"colours of mode {image.mode} cannot be read: save the image as RGB ({error})") from error


def _upright(rgb: Image.Image, original: Image.Image) -> Image.Image:
    try:
        orientation = original.getexif().get(0x0112, 1)
    except Exception:  # noqa: BLE001 (a damaged EXIF block, which many cameras write, is no reason to refuse a picture)
        return rgb
    turns = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }
    return rgb.transpose(turns[orientation]) if orientation in turns else rgb
