"""Labelled images as PNG bytes in one safetensors file: exemplars, held-out images. No pickle, no folder of files.

Tensors: `data` (uint8, the PNG files one after the other), `offsets` (int64, N + 1), `labels` (int64, N, indices into
the class list); metadata: `classes`, a JSON list of names.
"""

import hashlib
import io
import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Self

import numpy as np
from PIL import Image
from safetensors import SafetensorError, safe_open

from lucir_core.errors import DataError, StateError
from lucir_core.files import save_tensors_atomically


@dataclass(frozen=True, eq=False)
class ImageBlobs:
    """N encoded square images with their labels; image i is `pngs[i]`, of class `classes[labels[i]]`."""

    pngs: tuple[bytes, ...]
    labels: np.ndarray
    """(N,) int64"""
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.pngs) != len(self.labels):
            raise DataError(f"{len(self.pngs)} images have {len(self.labels)} labels: give one for each")
        if len(self.labels) and not 0 <= self.labels.min() <= self.labels.max() < len(self.classes):
            raise DataError(f"labels {self.labels.min()} to {self.labels.max()} do not fit {len(self.classes)} classes")

    def __len__(self) -> int:
        return len(self.pngs)

    @classmethod
    def empty(cls, classes: Iterable[str] = ()) -> Self:
        """No images of these classes."""
        return cls((), np.zeros(0, np.int64), tuple(classes))

    @classmethod
    def from_arrays(cls, images: np.ndarray, labels: np.ndarray, classes: Iterable[str]) -> Self:
        """Encode `images` (N, side, side, 3) uint8 without loss."""
        if images.ndim != 4 or images.shape[3] != 3 or images.dtype != np.uint8:
            raise DataError(f"images are uint8 (N, side, side, 3), not {images.dtype} {images.shape}")
        return cls(tuple(encode_image(image) for image in images), np.asarray(labels, np.int64), tuple(classes))

    def decode(self, index: int) -> np.ndarray:
        """Image `index` as uint8 (side, side, 3)."""
        return decode_image(self.pngs[index])

    def decode_square(self, index: int, side: int) -> np.ndarray:
        """Image `index` as uint8 (side, side, 3); raises DataError where it has another size."""
        image = self.decode(index)
        if image.shape != (side, side, 3):
            raise DataError(f"image {index} is {image.shape[1]}x{image.shape[0]}, the configuration says {side}x{side}")
        return image

    def decode_all(self, side: int) -> np.ndarray:
        """All images as uint8 (N, side, side, 3); raises DataError where one has another size."""
        result = np.empty((len(self), side, side, 3), np.uint8)
        for i in range(len(self)):
            result[i] = self.decode_square(i, side)
        return result

    def indices_of(self, label: int) -> np.ndarray:
        """Positions of a class, in stored (herding) order."""
        return np.flatnonzero(self.labels == label)

    def counts(self) -> np.ndarray:
        """(classes,) images per class."""
        return np.bincount(self.labels, minlength=len(self.classes))

    def without(self, digests: Collection[bytes], labels: Collection[int] | None = None) -> "ImageBlobs":
        """The images but for those whose `image_digest` is among `digests`.

        labels: of the classes that they can be of; no other image is decoded. Default: all.
        """
        wanted, asked = frozenset(digests), range(len(self.classes)) if labels is None else frozenset(labels)
        kept = [
            index
            for index, label in enumerate(self.labels.tolist())
            if label not in asked or image_digest(self.decode(index)) not in wanted
        ]
        return ImageBlobs(tuple(self.pngs[index] for index in kept), self.labels[kept], self.classes)

    def save(self, path: Path) -> None:
        """Write atomically."""
        offsets = np.zeros(len(self) + 1, np.int64)
        np.cumsum([len(png) for png in self.pngs], out=offsets[1:])
        data = np.frombuffer(b"".join(self.pngs), np.uint8)
        tensors: dict[str, np.ndarray] = {"data": data, "offsets": offsets, "labels": self.labels.astype(np.int64)}
        save_tensors_atomically(path, tensors, {"classes": json.dumps(self.classes, ensure_ascii=False)})

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote; raises StateError on a damaged file."""
        try:
            with safe_open(path, framework="numpy") as file:
                offsets, labels = file.get_tensor("offsets"), file.get_tensor("labels")
                classes = tuple(json.loads(file.metadata()["classes"]))
                data = file.get_slice("data")
                size = int(data.get_shape()[0])
                if len(offsets) != len(labels) + 1 or offsets[0] != 0 or offsets[-1] != size:
                    raise StateError(
                        f"{path} is damaged: its offsets do not fit its {size} bytes and {len(labels)} labels"
                    )
                # Image by image, so that the memory never holds the bytes twice.
                pngs = tuple(data[start:end].tobytes() for start, end in pairwise(offsets.tolist()))
        except StateError:
            raise
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            raise StateError(f"{path} is not a file of labelled images, or it is damaged: {error}") from error
        return cls(pngs, labels, classes)


def image_digest(image: np.ndarray) -> bytes:
    """16 bytes that tell images apart by their pixels, however they were encoded; image: (side, side, 3) uint8."""
    return hashlib.sha256(np.asarray(image, np.uint8).tobytes()).digest()[:16]


def encode_image(image: np.ndarray) -> bytes:
    """uint8 (side, side, 3) as PNG, without loss."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="PNG")
    return buffer.getvalue()


def decode_image(png: bytes) -> np.ndarray:
    """What `encode_image` encoded."""
    with Image.open(io.BytesIO(png)) as image:
        return np.asarray(image.convert("RGB"))
