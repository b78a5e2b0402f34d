"""Pixels of any mode as upright RGB over white.

Pillow knows some twenty modes, and three ways of saying which pixels are transparent: a channel, a palette entry, or
one level of the file. It leaves that level as it stands in the file while it scales the pixels; here both are scaled.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

WHITE: Final = 255
_WIDE: Final = 65535
_WHITE_IS_ZERO: Final = 0
_PHOTOMETRIC: Final = 262
"""TIFF's tag that says whether 0 is black."""
_STEPS: Final = {"L;2": 85, "L;4": 17}
"""What Pillow multiplies grey levels of few bits by."""
_TURNS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class UnusableColoursError(ValueError):
    """The mode has no defined way to RGB; the message says what helps."""


def raw_mode(image: Image.Image) -> str:
    """How the pixels stand in the file, e.g. ``L;4`` or ``I;12``; to be asked before they are loaded."""
    for tile in getattr(image, "tile", ()):
        arguments = tile[3]
        text = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
        return text if isinstance(text, str) else ""
    return ""


def upright(rgb: Image.Image, orientation: int) -> Image.Image:
    """As it was seen. ``orientation``: EXIF's number for how the camera was held, 1 to 8; any other turns nothing."""
    turn = _TURNS.get(orientation)
    return rgb if turn is None else rgb.transpose(turn)


def to_rgb(image: Image.Image, raw: str) -> Image.Image:
    """A loaded image as RGB, transparency over white, 16 bits scaled to 8. ``raw``: what ``raw_mode`` said before.

    Raises ``UnusableColoursError``.
    """
    if image.mode.startswith("I;16"):
        return _wide_grey(image, raw)
    if image.mode in {"I", "F"}:
        raise UnusableColoursError(
            f"pixels of 32 bits (mode {image.mode}) have no defined white: save the image with 8 bits"
        )
    try:
        if image.mode in {"1", "L", "RGB"} and "transparency" in image.info:
            return _one_level(image, raw)
        if image.mode in {"La", "RGBa"}:
            image = image.convert(image.mode.upper())
        if image.has_transparency_data:
            layer = image.convert("RGBA")
            return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
        # convert() copies an image that is RGB already: 40 ms for 12 megapixels.
        return image if image.mode == "RGB" else image.convert("RGB")
    except ValueError as error:
        raise UnusableColoursError(
            f"colours of mode {image.mode} cannot be read: save the image as RGB ({error})"
        ) from error


def _wide_grey(image: Image.Image, raw: str) -> Image.Image:
    """Grey of 12 or 16 bits; Pillow itself would clip at 255."""
    levels = np.asarray(image).astype(np.uint32)
    white = 4095 if raw.startswith("I;12") else _WIDE
    see_through = None
    if isinstance(level := image.info.get("transparency"), int):
        see_through = levels == level
    tags = getattr(image, "tag_v2", None)
    if tags is not None and tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
        levels = white - np.minimum(levels, white)
    grey = np.minimum((levels * WHITE + white // 2) // white, WHITE).astype(np.uint8)
    if see_through is not None:
        grey[see_through] = WHITE
    return Image.fromarray(grey).convert("RGB")


def _one_level(image: Image.Image, raw: str) -> Image.Image:
    """Grey or colour of which one level is transparent, given in the units of the file."""
    level = image.info["transparency"]
    pixels: NDArray[np.uint8] = np.array(image.convert("RGB"))
    if isinstance(level, bytes):
        level = tuple(level[:3])
    if isinstance(level, tuple):
        values = [value >> 8 if raw.startswith("RGB;16") else value for value in level]
    else:
        values = [level * _STEPS.get(raw, 1)] * 3
    if len(values) == 3:
        pixels[(pixels == np.array(values)).all(axis=-1)] = WHITE
    return Image.fromarray(pixels)
