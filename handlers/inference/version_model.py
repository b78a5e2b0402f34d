"""One mirrored version as a classifier: manifest, verified ONNX file, ONNX Runtime session.

No torch and no pydantic: this is what a starting worker waits for.
"""

import base64
import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from handlers.inference.preprocess import ImageRules, Interpolation, Limits, crop, decode_square
from handlers.inference.sessions.copy_choice import (
    NO_COPIES,
    NOTHING_CHOSEN,
    PUBLISHED,
    QUANTISED_FILE,
    Choice,
    CopyRules,
    chosen_alike,
    remember,
    remembered,
)
from handlers.inference.sessions.onnx_session import OnnxSession, Session, UnusableVersionError
from handlers.inference.sessions.serving_copy import Open, choose, compare, copies_of

logger = logging.getLogger(__name__)

MODEL_FILE = "model.onnx"
MANIFEST_FILE = "manifest.json"
CANARY_FILE = "canary.json"
_CHUNK = 1 << 20


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
            preprocessing = manifest["preprocessing"]
            version, classes, readout = manifest["version"], tuple(manifest["classes"]), manifest["readout"]
            digest = manifest["files"][MODEL_FILE]["sha256"]
            _verify(folder / MODEL_FILE, digest)
            quantised = manifest["files"].get(QUANTISED_FILE)
            if rules.auto and quantised is not None and (folder / QUANTISED_FILE).exists():
                _verify(folder / QUANTISED_FILE, quantised["sha256"])
            choice = remembered(folder, rules, threads, digest) if rules.auto and gpu is None else None
            copies: dict[str, Open] = {PUBLISHED: lambda: OnnxSession(folder / MODEL_FILE, threads, gpu)}
            if choice is not None and choice.copy != PUBLISHED:
                copies |= copies_of(folder, threads, choice.copy)
            choice = choice if choice is not None and choice.copy in copies else None
            session = copies[choice.copy if choice is not None else PUBLISHED]()
            model = cls(
                version=version,
                classes=classes,
                readout=readout,
                resize=preprocessing["resize"],
                size=preprocessing["size"],
                interpolation=preprocessing["interpolation"],
                session=session,
                known_cosine=(manifest.get("calibration") or {}).get("known_cosine"),
                scores_known="known" in session.outputs,
                choice=choice or NOTHING_CHOSEN,
            )
            model.check()
            if choice is not None or not rules.auto or (isinstance(session, OnnxSession) and session.on_gpu):
                return model
            faster = model._faster(folder, digest, rules, threads, _family(manifest))
        except (KeyError, TypeError) as error:
            raise UnusableVersionError(f"{folder / MANIFEST_FILE} lacks {error}") from error
        if faster.session is not session:
            faster.check()
        return faster

    def _faster(self, folder: Path, digest: str, rules: CopyRules, threads: int, family: str) -> Self:
        """This version with the fastest copy of its network that may answer here; itself where there is none."""
        images = self._canary(folder / CANARY_FILE)
        if images is None:
            return self
        copies = copies_of(folder, threads)
        if not copies:
            return self
        alike = chosen_alike(folder, rules, threads, family)
        session = copies[alike.copy]() if alike is not None and alike.copy in copies else None
        choice = None
        if alike is not None and session is not None:
            choice = compare(self.session, images, rules, session, alike)
        if choice is None or session is None:
            choice, session = choose(self.session, images, rules, copies)
        remember(folder, choice, rules, threads, digest, family)
        logger.info("version %d answers with %s, %.2f times as fast", self.version, choice.copy, choice.speed)
        return replace(self, session=session, choice=choice)

    def _canary(self, path: Path) -> NDArray[np.uint8] | None:
        """The images that travel with the version (n, size, size, 3); None for one that was published without."""
        try:
            documents = json.loads(path.read_text(encoding="utf-8"))["pictures"]
            images = [self.prepare(base64.b64decode(each["png"]), Limits()) for each in documents]
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            logger.warning("no copy is compared: %s cannot be read (%s)", path, error)
            return None
        return np.stack(images) if images else None

    def prepare(self, data: bytes, limits: ImageRules) -> NDArray[np.uint8]:
        """An image file to the input of this version: (size, size, 3). Raises ``BadImageError``."""
        return crop(decode_square(data, limits, self.resize, self.interpolation), self.size)

    def classify(self, images: NDArray[np.uint8], top_k: Sequence[int]) -> list[Answer]:
        """The ``top_k[i]`` best classes of ``images[i]``. images: (batch, size, size, 3)."""
        names = ["probabilities", "cosines", "prototype_cosines"]
        known = ["known"] if self.scores_known else []
        probabilities, cosines, nearest, *scored = self.session.run([*names, *known], {"images": images})
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

    def check(self) -> None:
        """One blank image: shapes must fit the class list, and the first request must not pay for initialisation."""
        if self.readout not in ("cnn", "nme"):
            raise UnusableVersionError(f"version {self.version} has the readout {self.readout!r}, not cnn or nme")
        try:
            outputs = self.session.run(
                ["probabilities", "cosines", "prototype_cosines"],
                {"images": np.zeros((1, self.size, self.size, 3), dtype=np.uint8)},
            )
        except Exception as error:  # ONNX Runtime's exception classes have no common public base
            raise UnusableVersionError(f"version {self.version}: the model does not run: {error}") from error
        for output in outputs:
            if output.shape != (1, len(self.classes)):
                given, expected = output.shape, len(self.classes)
                raise UnusableVersionError(
                    f"version {self.version}: {expected} classes, but an output of shape {given}"
                )


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


def _verify(path: Path, expected: str) -> None:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    except OSError as error:
        raise UnusableVersionError(f"{path} cannot be read: {error}") from error
    if digest.hexdigest() != expected:
        raise UnusableVersionError(f"{path} is damaged: sha256 {digest.hexdigest()}, the manifest says {expected}")
