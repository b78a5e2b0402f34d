"""Writing to disk: a reader sees the old file or the new one, never half of either; a full disk is an `OSError`."""

import math
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


class ArrayFile:
    """A new `.npy` file of uint8 with a given shape, filled row by row; only what is written takes space on the disk.

    To be read by a memory map, and never written by one: that ends the process (bus error) where the disk is full. Each
    call raises `OSError`.
    """

    def __init__(self, path: Path, shape: tuple[int, ...]) -> None:
        self._path = path
        self._row = math.prod(shape[1:])
        with path.open("wb") as file:
            header = {"descr": "|u1", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            self._begin = file.tell()
            file.truncate(self._begin + shape[0] * self._row)

    def write(self, start: int, rows: np.ndarray) -> None:
        """Put rows (n, ...) of uint8 at `start` and after it."""
        with self._path.open("r+b") as file:
            file.seek(self._begin + start * self._row)
            file.write(np.ascontiguousarray(rows, np.uint8).tobytes())

    def sync(self) -> None:
        """Make what was written durable."""
        with self._path.open("rb") as file:
            os.fsync(file.fileno())
