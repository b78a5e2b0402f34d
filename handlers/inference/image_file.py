"""An image file opened: its size checked against the limits, its metadata out of the way where that is damaged."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Final, TypeVar

from PIL import Image, UnidentifiedImageError

from handlers.inference.bare_image import PackedBombError, without_metadata
from handlers.inference.colours import UnusableColoursError, raw_mode
from handlers.inference.formats import FORMATS, readable, recognise, why_unreadable
from handlers.inference.image_limits import ImageRules

_ORIENTATION: Final = 0x0112
"""EXIF's tag."""

Made = TypeVar("Made")


class BadImageError(ValueError):
    """The bytes are not an image that can be used; the message, meant for the sender, says why."""


class DamagedImageError(BadImageError):
    """An image that is damaged or cut off: it may be whole when it is sent again."""


@dataclass(frozen=True, slots=True)
class ImageFile:
    """An image within the limits, none of its pixels decoded yet."""

    image: Image.Image
    raw: str
    """How its pixels stand in the file (``colours.raw_mode``)."""
    exif: bytes | None
    """The block with the orientation, where it was taken out of the file."""

    def orientation(self) -> int:
        """EXIF's number for how the camera was held; 1, upright, where nothing sensible is said."""
        try:
            own = self.image.getexif().get(_ORIENTATION, 1)
            if self.exif is None:
                return int(own)
            block = Image.Exif()
            block.load(self.exif)
            return int(block.get(_ORIENTATION, own))
        except Exception:  # noqa: BLE001 (many cameras write a damaged block: no reason to refuse an image)
            return 1


def make_from(data: bytes, limits: ImageRules, make: Callable[[ImageFile], Made]) -> Made:
    """What ``make`` makes of an image file, which it has to load itself.

    The size is checked in the header, before any pixel is decoded. Metadata does not matter: where a decoder stumbles
    over it, ``make`` is called again with an image without it. Raises ``BadImageError``, whatever is wrong.
    """
    if not data:
        raise DamagedImageError("the file is empty")
    if len(data) > limits.max_bytes:
        raise BadImageError(f"the file has {len(data)} bytes; at most {limits.max_bytes} are accepted")
    try:
        return _make(data, None, limits, make)
    except DamagedImageError:
        try:
            bare = without_metadata(data)
        except PackedBombError as error:
            raise BadImageError(f"the image is too large: {error}") from error
        if bare is None:
            raise
        return _make(bare.data, bare.exif, limits, make)


def header_pixels(data: bytes, limits: ImageRules) -> int:
    """Width times height as the header tells; 0 where it tells nothing, which ``make_from`` will explain."""
    try:
        with _open(data, limits) as image:
            return image.width * image.height
    except BadImageError:
        return 0


def _make(data: bytes, exif: bytes | None, limits: ImageRules, make: Callable[[ImageFile], Made]) -> Made:
    image = _open(data, limits)
    _check_size(image.size, limits)
    width, height = image.size
    try:
        return make(ImageFile(image, raw_mode(image), exif))
    except MemoryError as error:
        raise BadImageError(f"the image of {width}x{height} pixels does not fit in memory") from error
    except UnusableColoursError as error:
        raise BadImageError(str(error)) from error
    except Exception as error:  # Pillow's decoders raise whatever the damage leads to
        raise DamagedImageError(f"the {image.format} image is damaged or truncated: {error}") from error


@cache
def _formats() -> tuple[str, ...]:
    return readable()


def _open(data: bytes, limits: ImageRules) -> Image.Image:
    _raise_pillows_bound(limits.max_pixels)
    known = _formats() if recognise(data) in {"HEIC", "AVIF"} else FORMATS
    try:
        return Image.open(io.BytesIO(data), formats=known)
    except UnidentifiedImageError:
        raise DamagedImageError(why_unreadable(data)) from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        size = str(error).partition(" exceeds")[0]  # after it stands Pillow's bound, which is not what decides here
        raise BadImageError(f"the image is too large: {size}; at most {limits.max_pixels} are accepted") from error
    except Exception as error:  # as in _make: the header's parsers raise whatever the damage leads to
        raise DamagedImageError(f"the image's header is damaged: {error}") from error


def _raise_pillows_bound(pixels: int) -> None:
    """Pillow warns and refuses above a bound of its own, one for the whole process, which the settings may exceed.

    It is never taken away: it still holds for tiles and frames, whose size stands in no header that is checked here.
    """
    bound = Image.MAX_IMAGE_PIXELS
    if bound is not None and bound < pixels:
        Image.MAX_IMAGE_PIXELS = pixels


def _check_size(size: tuple[int, int], limits: ImageRules) -> None:
    width, height = size
    if width * height > limits.max_pixels:
        raise BadImageError(
            f"the image has {width}x{height} = {width * height} pixels; at most {limits.max_pixels} are accepted"
        )
    if min(width, height) < limits.min_side:
        raise BadImageError(f"the image has {width}x{height} pixels; each side needs at least {limits.min_side}")
