"""The last look at a version before it answers everybody: held-out images, asked where it will answer.

The updater has evaluated the model by itself. Whether the server gives the same answers (its ONNX Runtime, its graphics
card, its preprocessing) shows only here. The images travel with the version, so that every follower looks too.
"""

import base64
import time
from pathlib import Path
from typing import Final, Protocol

from pydantic import Field

from handlers.settings import Settings
from handlers.torchserve.inference_port import ProbeError
from model_store.documents import parse
from model_store.manifest import Document, Ratio, StoredDocument
from model_store.objects import StoreError

FILE: Final = "canary.json"
TOLERANCE: Final = 0.02
"""Most that a probability may differ, beside what a faster copy may differ by: another device rounds differently, by
less than a thousandth."""
LONGEST: Final = 64 * 1024 * 1024


class CanaryImage(Document):
    """A held-out image, its best class and that class's probability, as evaluated."""

    png: str
    """Base64."""
    answer: str
    probability: Ratio
    outputs: dict[str, tuple[float, ...]] | None = None
    """All that the network answered, by output: what a copy of it is compared with. None of early releases."""


class Canary(StoredDocument):
    """``canary.json`` of a version."""

    side: int = Field(ge=1)
    """Of the images, which are square, in pixels."""
    pictures: tuple[CanaryImage, ...]
    """The images; the name is that of stored documents."""


class Asked(Protocol):
    """Whoever answers with a version that nobody else asks yet."""

    def classify(self, version: int, image: bytes) -> dict[str, float]:
        """The best classes of a PNG and their probabilities, by ``version``. Raises ``ProbeError``."""


def check_canary(asked: Asked, version: int, folder: Path, settings: Settings) -> None:
    """Raise ``ProbeError`` where ``version``, as ``asked`` knows it, answers differently than it was evaluated.

    ``folder`` is its mirrored copy; without the file nothing is asked. Neither are images that are smaller than the
    server lets pass. One at a time, and after each a rest of the same length: clients hardly wait for them.
    """
    try:
        with (folder / FILE).open("rb") as file:
            canary = parse(Canary, file.read(LONGEST), str(folder / FILE), "it is fetched again")
    except FileNotFoundError:
        return
    except StoreError as error:
        raise ProbeError(str(error)) from error
    if canary.side < settings.images.min_side:
        return
    serving = settings.serving
    tolerance = TOLERANCE + (serving.copy_max_probability_change if serving.copies == "auto" else 0.0)
    for number, image in enumerate(canary.pictures, 1):
        began = time.monotonic()
        found = asked.classify(version, base64.b64decode(image.png))
        time.sleep(time.monotonic() - began)
        given = found.get(image.answer, 0.0)
        if abs(given - image.probability) > tolerance:
            best = max(found, key=lambda name: found[name], default="nothing")
            raise ProbeError(
                f"it does not answer as it was evaluated: held-out image {number} of {len(canary.pictures)} is "
                f"{image.answer!r} with {given:.3f} instead of {image.probability:.3f} (its best answer: {best!r})"
            )
