"""Reading dropped files: each is hashed, judged by itself and, when it is an image, decoded; several at a time."""

import hashlib
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import NamedTemporaryFile

import numpy as np
from numpy.typing import NDArray

from handlers.bucket.dropped_names import looks_like_another_kind
from handlers.inference.preprocess import BadImageError, ImageRules, decode, decode_square, header_pixels, to_array
from handlers.parallel import ordered_map
from handlers.updater.intake.uploaded_file import UploadedFile
from model_store.objects import (
    ObjectInfo,
    ObjectNotFoundError,
    ObjectStore,
    ObjectTooLargeError,
    StoreError,
    StoreUnavailableError,
)

LARGEST_FILE = 1 << 50
LARGE_PIXELS = 6_000_000
"""Images above this are decoded two at a time: 50 million pixels take 300 MB while they are decoded."""


Image = NDArray[np.uint8]
"""(resize, resize, 3)"""


class Reader:
    """Reads and judges single objects. Holds at most a few decoded images per worker in memory."""

    def __init__(self, objects: ObjectStore, rules: ImageRules, resize: int, scratch: Path) -> None:
        self._objects = objects
        self._rules = rules
        self.resize = resize
        self._scratch = scratch
        self._large = threading.Semaphore(2)

    def read_all(self, files: Iterable[UploadedFile]) -> Iterator[tuple[UploadedFile, Image | None]]:
        """Judge each by itself: ``sha256`` and ``reason`` are filled in, and a usable image is given decoded.

        In the order of ``files``; objects that vanished or changed since they were listed are left out. Those that the
        store does not give have their ``trouble`` instead.
        """
        for file, image in ordered_map(self.read_one, files):
            if file.sha256 or file.trouble is not None:
                yield file, image

    def read_one(self, file: UploadedFile) -> tuple[UploadedFile, Image | None]:
        """The same for one object; it stays without ``sha256`` when it is not what was listed any more."""
        try:
            if file.info.size > self._rules.max_bytes:
                too_large = f"the file has {file.info.size} bytes; at most {self._rules.max_bytes} are accepted"
                file.sha256, file.reason = self._hash_large(file.info), file.reason or too_large
                return file, None
            data = self._objects.read(file.key, limit=self._rules.max_bytes)
        except (ObjectNotFoundError, ObjectTooLargeError):
            return file, None
        except StoreUnavailableError:
            raise
        except StoreError as error:
            file.trouble = str(error)
            return file, None
        if len(data) != file.info.size:
            return file, None
        file.sha256 = hashlib.sha256(data).hexdigest()
        if file.is_image:
            try:
                return file, self.decoded(data)
            except BadImageError as error:
                named = "; its name does not end as an image's does" if looks_like_another_kind(file.path) else ""
                file.reason = f"{error}{named}"
        return file, None

    def decoded(self, data: bytes, *, whole: bool = False) -> Image:
        """Decode to (resize, resize, 3). ``whole``: as versions up to 0.2 did, which scaled no JPEG while decoding.

        Raises ``BadImageError``.
        """
        if header_pixels(data, self._rules) < LARGE_PIXELS:
            return self._square(data, whole)
        with self._large:
            return self._square(data, whole)

    def _square(self, data: bytes, whole: bool) -> Image:
        if whole:
            return to_array(decode(data, self._rules), self.resize)
        return decode_square(data, self._rules, self.resize)

    def _hash_large(self, info: ObjectInfo) -> str:
        """The hash of a file that is too large to be held in memory."""
        with NamedTemporaryFile(dir=self._scratch) as file:
            path = Path(file.name)
            self._objects.download(info.key, path, limit=LARGEST_FILE)
            with path.open("rb") as copy:
                return hashlib.file_digest(copy, "sha256").hexdigest()
