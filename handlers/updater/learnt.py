"""Hashes of what a version has learnt, itself and its ancestors: so that the same picture is never learnt twice.

They travel with each version (``learnt.safetensors``) and not in one list, so that a rollback forgets what the
versions after it had learnt. Bounded: the oldest are dropped first.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import save_file

FILE = "learnt.safetensors"
LIMIT = 1_000_000
"""Hashes kept; 20 bytes each."""
HASH_BYTES = 16
"""Of the 32 of a sha256: enough to tell pictures apart."""


@dataclass(frozen=True)
class Learnt:
    """hashes: (n, 16) uint8, oldest first; labels: (n,) int32, indices into ``classes``."""

    hashes: NDArray[np.uint8]
    labels: NDArray[np.int32]
    classes: tuple[str, ...]

    @classmethod
    def empty(cls) -> "Learnt":
        """Nothing yet."""
        return cls(np.zeros((0, HASH_BYTES), np.uint8), np.zeros(0, np.int32), ())

    @classmethod
    def load(cls, path: Path) -> "Learnt":
        """Read a file that ``save`` wrote."""
        with safe_open(path, framework="numpy") as file:
            classes = tuple(json.loads(file.metadata()["classes"]))
            return cls(file.get_tensor("hashes"), file.get_tensor("labels"), classes)

    def save(self, path: Path) -> None:
        """Write the safetensors file."""
        tensors: dict[str, NDArray[Any]] = {"hashes": np.ascontiguousarray(self.hashes), "labels": self.labels}
        save_file(tensors, path, metadata={"classes": json.dumps(self.classes, ensure_ascii=False)})

    def find(self, hashes: Iterable[str]) -> dict[str, str]:
        """Those of the sha256 hashes (hex) that were learnt, with the class that they were learnt as."""
        wanted = {bytes.fromhex(sha)[:HASH_BYTES]: sha for sha in hashes}
        if not wanted or not len(self.hashes):
            return {}
        heads = np.ascontiguousarray(self.hashes[:, :8]).view(np.uint64).ravel()
        wanted_heads = np.frombuffer(b"".join(key[:8] for key in wanted), np.uint64)
        found = {}
        for row in np.flatnonzero(np.isin(heads, wanted_heads)):
            sha = wanted.get(self.hashes[row].tobytes())
            if sha is not None:
                found[sha] = self.classes[self.labels[row]]
        return found

    def extended(self, hashes: Sequence[str], class_names: Sequence[str], classes: tuple[str, ...]) -> "Learnt":
        """With more hashes (hex) and their classes; ``classes`` begins with the present ones."""
        if classes[: len(self.classes)] != self.classes:
            raise ValueError("the classes of a version begin with those of its parent")
        index = {name: position for position, name in enumerate(classes)}
        raw = b"".join(bytes.fromhex(sha)[:HASH_BYTES] for sha in hashes)
        new = np.frombuffer(raw, np.uint8).reshape(-1, HASH_BYTES)
        labels = np.array([index[name] for name in class_names], np.int32)
        return Learnt(
            np.concatenate([self.hashes, new])[-LIMIT:], np.concatenate([self.labels, labels])[-LIMIT:], classes
        )
