"""The last look at a version before it answers everybody: held-out images, asked through TorchServe.

The updater has evaluated the model by itself. Whether the server gives the same answers (its ONNX Runtime, its graphics
card, its preprocessing) shows only here. The images travel with the version, so that every follower looks too.
"""

import base64
from pathlib import Path
from typing import Final

from pydantic import Field

from handlers.torchserve.inference_port import Probe, ProbeError
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


class Canary(StoredDocument):
    """``canary.json`` of a version."""

    side: int = Field(ge=1)
    """Of the images, which are square, in pixels."""
    pictures: tuple[CanaryImage, ...]
    """The images; the name is that of stored documents."""


def check_canary(probe: Probe, version: int, folder: Path, min_side: int, tolerance: float = TOLERANCE) -> None:
    """Raise ``ProbeError`` where ``version``, at its own address, answers differently than it was evaluated.

    ``folder`` is its mirrored copy; without the file nothing is asked. Neither are images that are smaller than the
    server lets pass (``min_side``). ``tolerance``: most that a probability may differ.
    """
    try:
        with (folder / FILE).open("rb") as file:
            canary = parse(Canary, file.read(LONGEST), str(folder / FILE), "it is fetched again")
    except FileNotFoundError:
        return
    except StoreError as error:
        raise ProbeError(str(error)) from error
    if canary.side < min_side:
        return
    answers = probe.classify(version, [base64.b64decode(image.png) for image in canary.pictures])
    for number, (image, found) in enumerate(zip(canary.pictures, answers, strict=True), 1):
        given = found.get(image.answer, 0.0)
        if abs(given - image.probability) > tolerance:
            best = max(found, key=lambda name: found[name], default="nothing")
            raise ProbeError(
                f"it does not answer as it was evaluated: held-out image {number} of {len(canary.pictures)} is "
                f"{image.answer!r} with {given:.3f} instead of {image.probability:.3f} (its best answer: {best!r})"
            )
