"""One mirrored version as a classifier: manifest, verified ONNX file, ONNX Runtime session.

No torch and no pydantic: this is what a starting worker waits for.
"""

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from handlers.inference.preprocess import ImageRules, Interpolation, crop, decode_square

logger = logging.getLogger(__name__)

MODEL_FILE = "model.onnx"
MANIFEST_FILE = "manifest.json"
_CHUNK = 1 << 20


class UnusableVersionError(RuntimeError):
    """The version's folder is incomplete, damaged or contradicts itself; it must not be served."""


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
    session: onnxruntime.InferenceSession
    known_cosine: float | None = None
    """Below this score an image is unknown: the model's output ``known``, or the cosine to the nearest class mean."""
    scores_known: bool = False
    """Whether the model has the output ``known``."""

    @classmethod
    def load(cls, folder: Path, *, threads: int = 1, gpu: int | None = None) -> Self:
        """Read and verify ``folder``. ``gpu`` is a CUDA device number, used when CUDA really works.

        Raises ``UnusableVersionError``.
        """
        manifest = _read_manifest(folder / MANIFEST_FILE)
        try:
            preprocessing = manifest["preprocessing"]
            version, classes, readout = manifest["version"], tuple(manifest["classes"]), manifest["readout"]
            _verify(folder / MODEL_FILE, manifest["files"][MODEL_FILE]["sha256"])
            session = _session(folder / MODEL_FILE, threads, gpu)
            model = cls(
                version=version,
                classes=classes,
                readout=readout,
                resize=preprocessing["resize"],
                size=preprocessing["size"],
                interpolation=preprocessing["interpolation"],
                session=session,
                known_cosine=(manifest.get("calibration") or {}).get("known_cosine"),
                scores_known=any(output.name == "known" for output in session.get_outputs()),
            )
        except (KeyError, TypeError) as error:
            raise UnusableVersionError(f"{folder / MANIFEST_FILE} lacks {error}") from error
        model._check()
        return model

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

    def _check(self) -> None:
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


def _session(path: Path, threads: int, gpu: int | None) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Spinning threads would take the second core from training, or from a worker that starts beside this one.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    try:
        if gpu is not None:
            session = _cuda_session(path, options, gpu)
            if session is not None:
                return session
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's exception classes have no common public base
        raise UnusableVersionError(f"{path} cannot be loaded: {error}") from error


def _cuda_session(path: Path, options: onnxruntime.SessionOptions, gpu: int) -> onnxruntime.InferenceSession | None:
    """A session on the GPU, or None when CUDA does not work here (said once in the log)."""
    reason = "this ONNX Runtime has no CUDA provider"
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        # CUDA and cuDNN come as wheels of their own, which the loader does not find by itself.
        onnxruntime.preload_dlls()
        try:
            session = onnxruntime.InferenceSession(
                path, options, providers=[("CUDAExecutionProvider", {"device_id": gpu}), "CPUExecutionProvider"]
            )
        except Exception as error:  # noqa: BLE001 (any failure of the GPU has the same remedy: the CPU)
            reason = str(error).splitlines()[0]
        else:
            if session.get_providers()[0] == "CUDAExecutionProvider":
                logger.info("classifying on GPU %d", gpu)
                return session
            reason = "its libraries cannot be loaded"
    logger.warning("classifying on the CPU: CUDA device %d cannot be used (%s)", gpu, reason)
    return None
