"""Hashes of what a version has learnt, itself and its ancestors: so that the same image is never learnt twice.

They travel with each version (``learnt.safetensors``) and not in one list, so that a rollback forgets what the
versions after it had learnt. Bounded: the oldest are dropped first.
"""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import save_file

from lucir_core.edit.regroup import Regrouping

FILE = "learnt.safetensors"
LIMIT = 1_000_000
"""Hashes kept; 36 bytes each."""
HASH_BYTES = 16
"""Of the 32 of a sha256: enough to tell images apart."""


@dataclass(frozen=True)
class Learnt:
    """hashes: (n, 16) uint8, oldest first; labels: (n,) int32, indices into ``classes``."""

    hashes: NDArray[np.uint8]
    labels: NDArray[np.int32]
    classes: tuple[str, ...]
    digests: NDArray[np.uint8]
    """(n, 16): ``image_digest`` of what was made of each image: it finds the image among exemplars and held-out
    images. Zeros where it is not known (versions made before this was written down)."""

    @classmethod
    def empty(cls) -> "Learnt":
        """Nothing yet."""
        return cls(np.zeros((0, HASH_BYTES), np.uint8), np.zeros(0, np.int32), (), np.zeros((0, HASH_BYTES), np.uint8))

    @classmethod
    def load(cls, path: Path) -> "Learnt":
        """Read a file that ``save`` wrote."""
        with safe_open(path, framework="numpy") as file:
            classes = tuple(json.loads(file.metadata()["classes"]))
            hashes = file.get_tensor("hashes")
            known = "digests" in file.keys()  # noqa: SIM118  # no mapping, only keys()
            digests = file.get_tensor("digests") if known else np.zeros_like(hashes)
            return cls(hashes, file.get_tensor("labels"), classes, digests)

    def save(self, path: Path) -> None:
        """Write the safetensors file."""
        tensors: dict[str, NDArray[Any]] = {
            "hashes": np.ascontiguousarray(self.hashes),
            "labels": np.ascontiguousarray(self.labels),
            "digests": np.ascontiguousarray(self.digests),
        }
        save_file(tensors, path, metadata={"classes": json.dumps(self.classes, ensure_ascii=False)})

    def find(self, hashes: Iterable[str]) -> dict[str, str]:
        """Those of the sha256 hashes (hex) that were learnt, with the class that they were learnt as."""
        wanted = {short(sha): sha for sha in hashes}
        rows = self._rows(wanted)
        return {wanted[self.hashes[row].tobytes()]: self.classes[self.labels[row]] for row in rows}

    def counts(self) -> dict[str, int]:
        """How many images were learnt as each class."""
        return dict(zip(self.classes, np.bincount(self.labels, minlength=len(self.classes)).tolist(), strict=True))

    def digests_of(self, hashes: Iterable[str]) -> set[bytes]:
        """``image_digest`` of those of the images (sha256, hex) that were learnt, as far as it is known."""
        found = {self.digests[row].tobytes() for row in self._rows({short(sha) for sha in hashes})}
        return found - {bytes(HASH_BYTES)}

    def of_class(self, name: str) -> set[bytes]:
        """The shortened hashes of all that was learnt as this class."""
        return {self.hashes[row].tobytes() for row in np.flatnonzero(self.labels == self.classes.index(name))}

    def holds(self, shortened: Collection[bytes]) -> bool:
        """Whether any of these shortened hashes was learnt."""
        return bool(self._rows(shortened))

    def without(self, hashes: Iterable[str]) -> "Learnt":
        """Without these images (sha256, hex): dropped again, they are learnt again."""
        kept = np.ones(len(self.hashes), bool)
        kept[self._rows({short(sha) for sha in hashes})] = False
        return Learnt(self.hashes[kept], self.labels[kept], self.classes, self.digests[kept])

    def regrouped(self, change: Regrouping) -> "Learnt":
        """Under the labels of a regrouping; what was learnt as a class that is gone is forgotten."""
        if change.before != self.classes:
            raise ValueError("the regrouping is of other classes than those that were learnt")
        labels = change.new_labels[self.labels].astype(np.int32)
        kept = labels >= 0
        return Learnt(self.hashes[kept], labels[kept], change.classes, self.digests[kept])

    def _rows(self, wanted: Collection[bytes]) -> list[int]:
        """Rows whose hash is among ``wanted``."""
        if not wanted or not len(self.hashes):
            return []
        heads = np.ascontiguousarray(self.hashes[:, :8]).view(np.uint64).ravel()
        wanted_heads = np.frombuffer(b"".join(key[:8] for key in wanted), np.uint64)
        candidates = np.flatnonzero(np.isin(heads, wanted_heads)).tolist()
        return [row for row in candidates if self.hashes[row].tobytes() in wanted]

    def extended(
        self,
        hashes: Sequence[str],
        class_names: Sequence[str],
        classes: tuple[str, ...],
        digests: Mapping[str, bytes] | None = None,
    ) -> "Learnt":
        """With more hashes (hex) and their classes; ``classes`` begins with the present ones.

        digests: ``image_digest`` by hash, where it is known.
        """
        if classes[: len(self.classes)] != self.classes:
            raise ValueError("the classes of a version begin with those of its parent")
        index = {name: position for position, name in enumerate(classes)}
        known = digests or {}
        new = _table([short(sha) for sha in hashes])
        seen = _table([known.get(sha, bytes(HASH_BYTES)) for sha in hashes])
        labels = np.array([index[name] for name in class_names], np.int32)
        return Learnt(
            np.concatenate([self.hashes, new])[-LIMIT:],
            np.concatenate([self.labels, labels])[-LIMIT:],
            classes,
            np.concatenate([self.digests, seen])[-LIMIT:],
        )


def short(sha256: str) -> bytes:
    """The part of a sha256 (hex) that is kept."""
    return bytes.fromhex(sha256)[:HASH_BYTES]


def _table(rows: Sequence[bytes]) -> NDArray[np.uint8]:
    return np.frombuffer(b"".join(rows), np.uint8).reshape(-1, HASH_BYTES)
