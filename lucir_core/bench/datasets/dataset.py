"""A data set as the runner wants it: arrays of uint8 images, or memory maps of them, with labels and class names."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lucir_core.errors import DataError
from lucir_core.files import ArrayFile

IN_MEMORY_BYTES = 2 << 30
"""Images chosen from a memory map are copied to memory up to this size, beyond it to a file of their own."""

COPY_IMAGES = 1024
DIGEST_IMAGES = 256


@dataclass(frozen=True, eq=False)
class Split:
    """Training or test images."""

    images: np.ndarray
    """(n, side, side, 3) uint8, RGB; possibly a memory map."""
    labels: np.ndarray
    """(n,) int64, indices into the data set's classes."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set in memory or in memory maps. Raises DataError on construction when its parts do not fit together."""

    name: str
    train: Split
    test: Split
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        for name, split in (("training", self.train), ("test", self.test)):
            images, labels = split.images, split.labels
            if images.ndim != 4 or images.shape[3] != 3 or images.dtype != np.uint8:
                raise DataError(
                    f"{self.name}: {name} images are uint8 (n, side, side, 3), not {images.dtype} {images.shape}"
                )
            if labels.shape != (len(images),) or not len(labels):
                raise DataError(f"{self.name}: {len(images)} {name} images with {len(labels)} labels")
            if not 0 <= labels.min() <= labels.max() < len(self.classes):
                raise DataError(
                    f"{self.name}: {name} labels run from {labels.min()} to {labels.max()}: {len(self.classes)} classes"
                )
        if len(set(self.classes)) < len(self.classes):
            raise DataError(f"{self.name}: two classes have the same name")

    def check(self, wanted: Sequence[int]) -> None:
        """Raise DataError unless every class of `wanted` is there and has training and test images."""
        for name, split in (("training", self.train), ("test", self.test)):
            counts = np.bincount(split.labels, minlength=len(self.classes))
            for label in wanted:
                if label >= len(self.classes):
                    raise DataError(f"{self.name} has classes 0 to {len(self.classes) - 1}: the order names {label}")
                if counts[label] == 0:
                    raise DataError(f"{self.name}: class {self.classes[label]!r} has no {name} image: leave it out")

    def digest(self) -> str:
        """A hash of class names, all labels and some evenly spaced images: tells data sets apart."""
        digest = hashlib.blake2b(json.dumps(self.classes).encode(), digest_size=16)
        for split in (self.train, self.test):
            digest.update(np.ascontiguousarray(split.labels, np.int64).tobytes())
            count = len(split.images)
            sampled = np.unique(np.linspace(0, count - 1, min(count, DIGEST_IMAGES)).astype(np.int64))
            digest.update(np.ascontiguousarray(split.images[sampled]).tobytes())
        return digest.hexdigest()


VALIDATION = "-validation"
"""Between the name of a data set and how many training images of each class are held out of it."""


def carved(dataset: Dataset, held_out: int) -> Dataset:
    """The training images alone: the last `held_out` of each class are the test images, the rest is trained on.

    For choosing settings: the real test images are not looked at. Raises DataError where a class has too few.
    """
    train = dataset.train
    test = np.zeros(len(train.labels), bool)
    for label in range(len(dataset.classes)):
        mine = np.flatnonzero(train.labels == label)
        if not 0 < held_out < len(mine):
            raise DataError(
                f"{dataset.name}: class {dataset.classes[label]!r} has {len(mine)} training images, {held_out} are to "
                "be held out: give 1 or more, and fewer than it has"
            )
        test[mine[-held_out:]] = True
    splits = [Split(np.asarray(train.images[rows]), train.labels[rows]) for rows in (~test, test)]
    return Dataset(f"{dataset.name}{VALIDATION}{held_out}", splits[0], splits[1], dataset.classes)


def choose(
    split: Split, order: Sequence[int], wanted: Sequence[int], scratch: Path, limit: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Images of the classes `wanted` in the split's own order, with labels as positions in `order`.

    limit: only the first so many of each class. scratch: a file for a choice from a memory map that is too large for
    memory; it is replaced.
    """
    places = np.full(int(max(split.labels.max(), *order)) + 1, -1, np.int64)
    places[list(order)] = np.arange(len(order))
    mask = np.isin(split.labels, np.asarray(wanted))
    if limit is not None:
        for label in wanted:
            mask[np.flatnonzero(split.labels == label)[limit:]] = False
    rows = np.flatnonzero(mask)
    return _take(split.images, rows, scratch), places[split.labels[rows]]


def _take(images: np.ndarray, rows: np.ndarray, scratch: Path) -> np.ndarray:
    if len(rows) and rows[-1] - rows[0] + 1 == len(rows):
        return images[rows[0] : rows[-1] + 1]
    size = len(rows) * int(np.prod(images.shape[1:]))
    if not isinstance(images, np.memmap) or size <= IN_MEMORY_BYTES:
        chosen: np.ndarray = images[rows]
        return np.asarray(chosen)
    scratch.parent.mkdir(parents=True, exist_ok=True)
    copy = ArrayFile(scratch, (len(rows), *images.shape[1:]))
    for start in range(0, len(rows), COPY_IMAGES):
        copy.write(start, images[rows[start : start + COPY_IMAGES]])
    taken: np.ndarray = np.load(scratch, mmap_mode="r")
    return taken
