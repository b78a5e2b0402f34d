"""What a phase is given, and the pictures it trains from."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lucir_core.errors import DataError

RESIDENT_SHARE = 0.4
"""Pictures stay on a GPU as a whole where they take less than this share of its free memory."""


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
        if self.images.ndim != 4 or self.images.shape[3] != 3 or self.images.dtype != np.uint8:
            raise DataError(f"images are uint8 (n, side, side, 3), not {self.images.dtype} {self.images.shape}")
        if self.labels.shape != (len(self.images),) or not np.issubdtype(self.labels.dtype, np.integer):
            raise DataError(f"labels are {len(self.images)} integers, not {self.labels.dtype} {self.labels.shape}")
        if len(self.images) == 0:
            raise DataError("a phase needs images: it was given none")
        if not 0 <= self.labels.min() <= self.labels.max() < len(self.classes):
            raise DataError(f"labels run from {self.labels.min()} to {self.labels.max()}: {len(self.classes)} classes")
        repeated = sorted({name for name in self.classes if self.classes.count(name) > 1})
        if repeated:
            raise DataError(f"class {repeated[0]!r} stands twice in the class list: name each class once")


class ImageSet:
    """Pictures of several arrays under one running index, with their labels, handed out in batches on one device."""

    def __init__(self, images: Sequence[np.ndarray], labels: Sequence[np.ndarray], device: torch.device) -> None:
        self._parts = [part for part in images if len(part)]
        self._starts = np.cumsum([0, *(len(part) for part in self._parts)])
        self.device = device
        self.labels = torch.from_numpy(np.concatenate(labels).astype(np.int64)).to(device)
        self._resident = self._upload() if device.type == "cuda" else None

    def __len__(self) -> int:
        return int(self._starts[-1])

    def gather(self, indices: Tensor) -> Tensor:
        """Pictures `indices` (on the set's device) as uint8 (batch, side, side, 3) on the same device."""
        if self._resident is not None:
            return self._resident[indices]
        pictures = torch.from_numpy(self.numpy(indices.cpu().numpy()))
        return pictures.pin_memory().to(self.device, non_blocking=True) if self.device.type == "cuda" else pictures

    def numpy(self, indices: np.ndarray) -> np.ndarray:
        """The same as an array, copied out of the parts (which may be memory maps)."""
        if len(self._parts) == 1:
            return np.take(self._parts[0], indices, axis=0)
        result = np.empty((len(indices), *self._parts[0].shape[1:]), np.uint8)
        owners = np.searchsorted(self._starts, indices, side="right") - 1
        for number, part in enumerate(self._parts):
            mine = owners == number
            result[mine] = part[indices[mine] - self._starts[number]]
        return result

    def _upload(self) -> Tensor | None:
        free, _ = torch.cuda.mem_get_info(self.device)
        if sum(part.nbytes for part in self._parts) > RESIDENT_SHARE * free:
            return None
        return torch.cat([torch.from_numpy(np.array(part)).to(self.device) for part in self._parts])
