"""Encoded images as a source of training images: decoded on demand, kept decoded up to a bound of bytes."""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from lucir_core.memory.image_blobs import ImageBlobs

CACHE_BYTES = 512 << 20
"""Most bytes of decoded exemplars that a phase keeps. 2000 of CIFAR take 6 MB, 3500 of 224 pixels fill it."""

DECODERS = min(16, os.cpu_count() or 1)
"""Threads that decode at once; Pillow and NumPy let others run meanwhile."""


class ArrayImages:
    """The images of an array or a memory map (n, side, side, 3) uint8."""

    def __init__(self, images: np.ndarray) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def take(self, indices: np.ndarray) -> np.ndarray:
        """Images `indices` as a new array (n, side, side, 3) uint8."""
        return np.take(self.images, indices, axis=0)


class EncodedImages:
    """The images of blobs. The first that are asked for stay decoded until `cache_bytes` are used.

    An epoch asks for every image once, so no rule of replacement would do better than to keep what is there. Raises
    DataError where an image is not `side` pixels square.
    """

    def __init__(self, blobs: ImageBlobs, side: int, cache_bytes: int = CACHE_BYTES) -> None:
        self._blobs, self._side = blobs, side
        room = min(len(blobs), cache_bytes // (side * side * 3))
        # Memory is taken as rows are written: an empty array of this size costs nothing.
        self._cache = np.empty((room, side, side, 3), np.uint8)
        self._row = np.full(len(blobs), -1, np.int64)
        self._used = 0

    def __len__(self) -> int:
        return len(self._blobs)

    @property
    def cached_bytes(self) -> int:
        """Bytes of decoded images that are kept."""
        return self._used * self._side * self._side * 3

    def take(self, indices: np.ndarray) -> np.ndarray:
        """See `ArrayImages`."""
        result = np.empty((len(indices), self._side, self._side, 3), np.uint8)
        rows = self._row[indices]
        known = rows >= 0
        result[known] = self._cache[rows[known]]
        missing = np.flatnonzero(~known)
        if len(missing):
            self._decode(indices, missing, result)
        return result

    def _decode(self, indices: np.ndarray, places: np.ndarray, result: np.ndarray) -> None:
        def decode(place: int) -> None:
            result[place] = self._blobs.decode_square(int(indices[place]), self._side)

        if len(places) >= 2 * DECODERS > 2:
            with ThreadPoolExecutor(DECODERS) as pool:
                list(pool.map(decode, places.tolist()))
        else:
            for place in places.tolist():
                decode(place)
        for place in places.tolist():
            index = indices[place]
            if self._used < len(self._cache) and self._row[index] < 0:
                self._cache[self._used] = result[place]
                self._row[index] = self._used
                self._used += 1


Images = ArrayImages | EncodedImages
"""Square images under a running index."""
