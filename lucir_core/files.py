"""Writing to disk so that a reader sees the old file or the new one, never half of either."""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors.numpy import save


def save_tensors_atomically(path: Path, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file as `write_whole` does."""
    contiguous = {name: np.asarray(value, order="C") for name, value in tensors.items()}
    write_whole(path, save(contiguous, dict(metadata)))


def write_whole(path: Path, content: bytes) -> None:
    """Write a file under a temporary name beside `path`, flush it to the disk, rename it into place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
