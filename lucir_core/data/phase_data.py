"""What a phase is given, and the images it trains from."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lucir_core.data.image_source import ArrayImages, Images
from lucir_core.errors import DataError

RESIDENT_SHARE = 0.4
"""Images stay on a GPU as a whole where they take less than this share of its free memory."""

UPLOAD_IMAGES = 4096


@dataclass(frozen=True, eq=False)
class PhaseData:
    """The images of one phase, of new classes and possibly of known ones."""

    images: np.ndarray
    """(n, resize, resize, 3) uint8, RGB; a memory map is read piece by piece."""
    labels: np.ndarray
    """(n,) integers, indices into `classes`."""
    classes: tuple[str, ...]
    """All classes after the phase; those known before come first, in their previous order."""

    def __post_init__(self) -> None:
        images, labels = self.images, self.labels
        if not isinstance(images, np.ndarray) or images.ndim != 4 or images.shape[3] != 3 or images.dtype != np.uint8:
            raise DataError(f"images are a NumPy array of uint8 (n, side, side, 3), not {_described(images)}")
        whole = isinstance(labels, np.ndarray) and np.issubdtype(labels.dtype, np.integer)
        if not whole or labels.shape != (len(images),):
            raise DataError(f"labels are a NumPy array of {len(images)} integers, not {_described(labels)}")
        names: object = self.classes
        if (
            not isinstance(names, Sequence)
            or isinstance(names, str)
            or not all(isinstance(name, str) for name in names)
        ):
            raise DataError(f'classes are a tuple of names, such as ("cat", "dog"), not {names!r}')
        # A state has a tuple, and a list is equal to none.
        object.__setattr__(self, "classes", tuple(names))
        if len(self.images) == 0:
            raise DataError("a phase needs images: it was given none")
        if not 0 <= self.labels.min() <= self.labels.max() < len(self.classes):
            raise DataError(f"labels run from {self.labels.min()} to {self.labels.max()}: {len(self.classes)} classes")
        repeated = sorted({name for name in self.classes if self.classes.count(name) > 1})
        if repeated:
            raise DataError(f"class {repeated[0]!r} stands twice in the class list: name each class once")

    def require_images(self, labels: Iterable[int]) -> None:
        """Raise DataError for the first of these classes that has no image."""
        there = set(np.unique(self.labels).tolist())
        for label in labels:
            if label not in there:
                raise DataError(f"class {self.classes[label]!r} has no image: give at least one or leave the class out")


def _described(value: object) -> str:
    return f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else f"a {type(value).__name__}"


class ImageSet:
    """Images of several sources under one running index, with their labels, handed out in batches on one device.

    A single source may hold maps in their place: (n, side, side, channels) of any number type.
    """

    def __init__(
        self, images: Sequence[np.ndarray | Images], labels: Sequence[np.ndarray], device: torch.device
    ) -> None:
        parts = [ArrayImages(part) if isinstance(part, np.ndarray) else part for part in images]
        self._parts: list[Images] = [part for part in parts if len(part)]
        self._starts = np.cumsum([0, *(len(part) for part in self._parts)])
        self.device = device
        self.labels = torch.from_numpy(np.concatenate(labels).astype(np.int64)).to(device)
        self._resident = self._upload() if device.type == "cuda" else None

    def __len__(self) -> int:
        return int(self._starts[-1])

    @property
    def is_resident(self) -> bool:
        """Whether all images lie on a GPU."""
        return self._resident is not None

    @property
    def is_slow(self) -> bool:
        """Whether fetching a batch may wait for a disk, a decoder or a copy to the device."""
        if self._resident is not None:
            return False
        plain = all(isinstance(part, ArrayImages) and not isinstance(part.images, np.memmap) for part in self._parts)
        return self.device.type == "cuda" or not plain

    def batches(self, parts: Sequence[Tensor]) -> Iterator[Tensor]:
        """`gather` of each of `parts`; of a slow set the next one is fetched while the caller works on the last."""
        if not self.is_slow:
            for part in parts:
                yield self.gather(part)
            return
        # One copy to the host for all: a thread that asked the device for its indices would wait for its whole queue.
        host = [part.cpu() for part in parts]
        with ThreadPoolExecutor(1, "images") as pool:
            coming: deque[Future[Tensor]] = deque()
            for part in host:
                coming.append(pool.submit(self.gather, part))
                if len(coming) > 1:
                    yield coming.popleft().result()
            yield from (future.result() for future in coming)

    def gather(self, indices: Tensor) -> Tensor:
        """Images `indices` as uint8 (batch, side, side, 3) on the set's device."""
        if self._resident is not None:
            return self._resident[indices]
        images = torch.from_numpy(self.numpy(indices.cpu().numpy()))
        return images.pin_memory().to(self.device, non_blocking=True) if self.device.type == "cuda" else images

    def numpy(self, indices: np.ndarray) -> np.ndarray:
        """The same as an array, copied out of its sources."""
        if len(self._parts) == 1:
            return self._parts[0].take(indices)
        found = [(number, owners) for number, owners in self._owners(indices) if owners.any()]
        pieces = [
            (owners, self._parts[number].take(indices[owners] - self._starts[number])) for number, owners in found
        ]
        if not pieces:
            return self._parts[0].take(indices)
        result = np.empty((len(indices), *pieces[0][1].shape[1:]), np.uint8)
        for owners, piece in pieces:
            result[owners] = piece
        return result

    def _owners(self, indices: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        owner = np.searchsorted(self._starts, indices, side="right") - 1
        for number in range(len(self._parts)):
            yield number, owner == number

    def _upload(self) -> Tensor | None:
        """All images on the GPU, piece by piece, where they are a small part of its free memory."""
        if not self._parts:
            return None
        first = torch.from_numpy(self._parts[0].take(np.zeros(1, np.int64)))
        free, _ = torch.cuda.mem_get_info(self.device)
        if len(self) * first.nbytes > RESIDENT_SHARE * free:
            return None
        resident = torch.empty((len(self), *first.shape[1:]), dtype=first.dtype, device=self.device)
        for start in range(0, len(self), UPLOAD_IMAGES):
            rows = np.arange(start, min(start + UPLOAD_IMAGES, len(self)))
            resident[start : start + len(rows)] = torch.from_numpy(self.numpy(rows)).to(self.device)
        return resident
