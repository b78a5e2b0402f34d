"""A version's network on this machine, for what the page asks of it: features and probabilities of a few images."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from model_store.documents import CorruptVersionError

BATCH = 8
TINY = np.finfo(np.float32).tiny


@dataclass(frozen=True)
class Network:
    """A session of ``model.onnx``; ``tells_features``: whether it has the output ``features``; early ones lack it."""

    session: onnxruntime.InferenceSession
    tells_features: bool

    @classmethod
    def load(cls, path: Path) -> Self:
        """One thread: the engine that answers requests, and what learns, need the others.

        Raises ``CorruptVersionError``.
        """
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        try:
            session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's exception classes have no common public base
            raise CorruptVersionError(f"{path} cannot be loaded, roll back to another version: {error}") from error
        return cls(session, any(output.name == "features" for output in session.get_outputs()))

    def look(self, images: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(features of length one, probabilities) of (n, size, size, 3)."""
        features, probabilities = self.session.run(["features", "probabilities"], {"images": images})
        return scaled(features), probabilities

    def features(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """(n, dim), of length one."""
        parts = [self.look(np.stack(images[start : start + BATCH]))[0] for start in range(0, len(images), BATCH)]
        return np.concatenate(parts) if parts else np.zeros((0, self._width), np.float32)

    @property
    def _width(self) -> int:
        (width,) = (output.shape[1] for output in self.session.get_outputs() if output.name == "features")
        return int(width)


def scaled(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each row of (n, dim) with length one."""
    unit: NDArray[np.float32] = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), TINY)
    return unit
