"""One mirrored version as a classifier: manifest, verified ONNX file, ONNX Runtime session.

No torch and no pydantic: this is what a starting worker waits for.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from handlers.inference.preprocess import ImageRules, Interpolation, Limits, crop, decode_square
from handlers.inference.sessions.chosen_session import Wanted, chosen_session
from handlers.inference.sessions.copy_choice import NO_COPIES, NOTHING_CHOSEN, QUANTISED_FILE, Choice, CopyRules, Device
from handlers.inference.sessions.headed_session import Inputs, blank
from handlers.inference.sessions.onnx_session import Session, UnusableVersionError
from handlers.inference.sessions.verified_files import VerifiedFiles

MANIFEST_FILE = "manifest.json"


@dataclass(frozen=True, slots=True)
class Prediction:
    """One class of an answer. ``cosine`` is that of the served readout: to the class weight, or to its prototype."""

    name: str
    probability: float
    cosine: float


@dataclass(frozen=True, slots=True)
class Answer:
    """What a version says of one image, best class first."""

    predictions: list[Prediction]
    unknown: bool | None
    """Whether the image seems to be of no known class; None where the version cannot tell."""
    unknown_score: float | None
    """1 - the score that the bound is compared with: the model's output ``known``, or the cosine to the nearest class
    mean; about 0 to 2."""


@dataclass(frozen=True, slots=True)
class VersionModel:
    """A version that answers. ``session`` takes uint8 images (batch, size, size, 3)."""

    version: int
    classes: tuple[str, ...]
    readout: Literal["cnn", "nme"]
    resize: int
    size: int
    interpolation: Interpolation
    session: Session
    known_cosine: float | None = None
    """Below this score an image is unknown: the model's output ``known``, or the cosine to the nearest class mean."""
    scores_known: bool = False
    """Whether the model has the output ``known``."""
    choice: Choice = NOTHING_CHOSEN
    """Which copy ``session`` is, and what it was compared with."""

    @classmethod
    def load(cls, folder: Path, *, threads: int = 1, gpu: int | None = None, rules: CopyRules = NO_COPIES) -> Self:
        """Read and verify ``folder``. ``gpu`` is a CUDA device number, used when CUDA really works; ``rules``: when a
        faster copy may answer in the place of the published network.

        Raises ``UnusableVersionError``.
        """
        manifest = _read_manifest(folder / MANIFEST_FILE)
        try:
            version, classes, readout = manifest["version"], tuple(manifest["classes"]), manifest["readout"]
            preprocessing = manifest["preprocessing"]
            resize, size, interpolation = (preprocessing[name] for name in ("resize", "size", "interpolation"))
            wanted = Wanted(
                folder,
                VerifiedFiles(folder, manifest["files"]),
                rules,
                Device(threads, gpu),
                _family(manifest),
                lambda data: _prepared(data, Limits(), resize, size, interpolation),
            )
            if readout not in ("cnn", "nme"):
                raise UnusableVersionError(f"version {version} has the readout {readout!r}, not cnn or nme")
            choice, session = chosen_session(wanted, lambda one: _check(one, version, size, len(classes)))
            calibration = manifest.get("calibration") or {}
        except (KeyError, TypeError) as error:
            raise UnusableVersionError(f"{folder / MANIFEST_FILE} lacks {error}") from error
        return cls(
            version=version,
            classes=classes,
            readout=readout,
            resize=resize,
            size=size,
            interpolation=interpolation,
            session=session,
            known_cosine=calibration.get("known_cosine"),
            scores_known="known" in session.outputs,
            choice=choice,
        )

    def prepare(self, data: bytes, limits: ImageRules) -> NDArray[np.uint8]:
        """An image file to the input of this version: (size, size, 3). Raises ``BadImageError``."""
        return _prepared(data, limits, self.resize, self.size, self.interpolation)

    def classify(self, inputs: Inputs, top_k: Sequence[int]) -> list[Answer]:
        """The ``top_k[i]`` best classes of image ``i``."""
        names = ["probabilities", "cosines", "prototype_cosines"]
        known = ["known"] if self.scores_known else []
        probabilities, cosines, nearest, *scored = self.session.run([*names, *known], inputs)
        familiar = scored[0][:, 0] if scored else nearest.max(axis=1)
        if self.readout == "nme":
            cosines = nearest
        scores = probabilities if self.readout == "cnn" else cosines
        order = np.argsort(-scores, axis=1, kind="stable")
        return [
            self._answer(
                [
                    Prediction(self.classes[j], round(float(probabilities[i, j]), 6), round(float(cosines[i, j]), 6))
                    for j in order[i, :k]
                ],
                float(familiar[i]),
            )
            for i, k in enumerate(top_k)
        ]

    def _answer(self, predictions: list[Prediction], known: float) -> Answer:
        if self.known_cosine is None:
            return Answer(predictions, None, None)
        return Answer(predictions, known < self.known_cosine, round(1.0 - known, 6))


def _prepared(
    data: bytes, limits: ImageRules, resize: int, size: int, interpolation: Interpolation
) -> NDArray[np.uint8]:
    return crop(decode_square(data, limits, resize, interpolation), size)


def _check(session: Session, version: int, size: int, classes: int) -> None:
    """One blank image: shapes must fit the class list, and the first request must not pay for initialisation."""
    try:
        outputs = session.run(["probabilities", "cosines", "prototype_cosines"], blank(size))
    except Exception as error:  # ONNX Runtime's exception classes have no common public base
        raise UnusableVersionError(f"version {version}: the model does not run: {error}") from error
    for output in outputs:
        if output.shape != (1, classes):
            raise UnusableVersionError(f"version {version}: {classes} classes, but an output of shape {output.shape}")


def _read_manifest(path: Path) -> dict[str, Any]:
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UnusableVersionError(f"{path} cannot be read: {error}") from error
    if not isinstance(manifest, dict):
        raise UnusableVersionError(f"{path} is not a JSON object")
    return manifest


def _family(manifest: dict[str, Any]) -> str:
    """The same for all versions whose networks differ in their numbers only, but for the number of classes."""
    parts = [manifest.get(name) for name in ("config", "preprocessing", "method")]
    return hashlib.sha256(
        json.dumps([*parts, QUANTISED_FILE in manifest["files"]], sort_keys=True).encode()
    ).hexdigest()
