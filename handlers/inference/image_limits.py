"""What counts as an image. No decoder here: whoever only hands the limits on does not wait for Pillow and numpy."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from handlers.settings import ImageLimits


@dataclass(frozen=True, slots=True)
class Limits:
    """The branch ``images`` of the settings tree, with its defaults but without its imports."""

    max_bytes: int = 20 * 1024 * 1024
    max_pixels: int = 50_000_000
    min_side: int = 4


ImageRules: TypeAlias = "Limits | ImageLimits"
"""What counts as an image, wherever a process has it from."""
