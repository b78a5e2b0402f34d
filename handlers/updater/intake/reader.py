"""Reading dropped files: each is hashed, judged by itself and, when it is an image, decoded; several at a time."""

import hashlib
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile

import numpy as np
from numpy.typing import NDArray

from handlers.bucket.dropped_names import looks_like_another_kind
from handlers.bucket.layout import READY_MARKER
from handlers.inference.preprocess import BadImageError, ImageRules, decode, decode_square, header_pixels, to_array
from handlers.parallel import ordered_map
from model_store.objects import ObjectInfo, ObjectNotFoundError, ObjectStore, ObjectTooLargeError

LARGEST_FILE = 1 << 50
LARGE_PIXELS = 6_000_000
"""Pictures above this are decoded two at a time: 50 million pixels take 300 MB on their way."""


@dataclass(frozen=True)
class Item:
    """An object to read: its folder of ``incoming/``, and what is wrong with that folder's name, if anything."""

    info: ObjectInfo
    folder: str
    path: str
    class_name: str | None
    problem: str | None


@dataclass(frozen=True)
class ReadItem:
    """What was found: ``picture`` (resize, resize, 3) for a usable image, else the ``reason`` that it is none."""

    item: Item
    sha256: str
    reason: str | None
    picture: NDArray[np.uint8] | None

    @property
    def is_marker(self) -> bool:
        """Whether this is the class's ``_READY``."""
        return self.item.path == READY_MARKER and self.item.class_name is not None


class Reader:
    """Reads and judges single objects. Holds at most a few decoded images per worker in memory."""

    def __init__(self, objects: ObjectStore, rules: ImageRules, resize: int, scratch: Path) -> None:
        self._objects = objects
        self._rules = rules
        self._resize = resize
        self._scratch = scratch
        self._large = threading.Semaphore(2)

    def read_all(self, items: Iterable[Item]) -> Iterator[ReadItem]:
        """In the order of ``items``; objects that vanished or changed since they were listed are left out."""
        return (found for found in ordered_map(self.read_one, items) if found is not None)

    def read_one(self, item: Item) -> ReadItem | None:
        """Judge one object; None when it is not what was listed any more."""
        try:
            if item.info.size > self._rules.max_bytes:
                reason = f"the file has {item.info.size} bytes; at most {self._rules.max_bytes} are accepted"
                return ReadItem(item, self._hash_large(item.info), item.problem or reason, None)
            data = self._objects.read(item.info.key, limit=self._rules.max_bytes)
        except (ObjectNotFoundError, ObjectTooLargeError):
            return None
        if len(data) != item.info.size:
            return None
        digest = hashlib.sha256(data).hexdigest()
        if item.problem is not None:
            return ReadItem(item, digest, item.problem, None)
        if item.path == READY_MARKER:
            return ReadItem(item, digest, None, None)
        try:
            return ReadItem(item, digest, None, self.picture(data))
        except BadImageError as error:
            named = "; its name does not end as an image's does" if looks_like_another_kind(item.path) else ""
            return ReadItem(item, digest, f"{error}{named}", None)

    def picture(self, data: bytes, *, whole: bool = False) -> NDArray[np.uint8]:
        """Decode to (resize, resize, 3). ``whole``: as versions up to 0.2 did, which scaled no JPEG while decoding.

        Raises ``BadImageError``.
        """
        if header_pixels(data) < LARGE_PIXELS:
            return self._square(data, whole)
        with self._large:
            return self._square(data, whole)

    def _square(self, data: bytes, whole: bool) -> NDArray[np.uint8]:
        if whole:
            return to_array(decode(data, self._rules), self._resize)
        return decode_square(data, self._rules, self._resize)

    def _hash_large(self, info: ObjectInfo) -> str:
        """The hash of a file that is too large to be held in memory."""
        with NamedTemporaryFile(dir=self._scratch) as file:
            path = Path(file.name)
            self._objects.download(info.key, path, limit=LARGEST_FILE)
            with path.open("rb") as copy:
                return hashlib.file_digest(copy, "sha256").hexdigest()
