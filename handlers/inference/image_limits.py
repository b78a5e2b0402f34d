"""What counts as an image. No decoder here: whoever only hands the limits on does not wait for Pillow and numpy."""

from dataclasses import dataclass
from typing import Protocol


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
