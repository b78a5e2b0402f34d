"""Features of the images that a version was asked to evaluate it, until its report is written."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from lucir_core.files import save_tensors_atomically

FILE = "asked_features.safetensors"


def save_asked(folder: Path, features: NDArray[np.float32], labels: NDArray[np.int64]) -> None:
    """features: (n, dim), labels: (n,)."""
    save_tensors_atomically(folder / FILE, {"features": features, "labels": labels}, {})


def load_asked(folder: Path) -> tuple[NDArray[np.float32], NDArray[np.int64]] | None:
    """(features, labels); None where there were no such images."""
    path = folder / FILE
    if not path.exists():
        return None
    rows = load_file(path)
    return rows["features"], rows["labels"]
