"""Images that an update has decoded and needs once more: an array, and an index written after it.

Those of the drop are read for the plan and learnt; the user's own are shown to each candidate. Any process that goes on
with the update finds them; without a whole index the originals are read again.
"""

import logging
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from lucir_core.files import ArrayFile
from model_store.local_files import sibling, sync_folder
from model_store.manifest import FORMAT, Document, Sha256

logger = logging.getLogger(__name__)

DECODED, INDEX = "decoded.npy", "decoded.json"


class DecodedRow(Document):
    """Where a decoded image lies, and of which content it was made."""

    row: int = Field(ge=0)
    sha256: Sha256


class DecodedIndex(Document):
    """``decoded.json``: rows of ``decoded.npy`` by the key of the original."""

    format: Literal[1] = FORMAT
    rows: dict[str, DecodedRow]


class DecodedWriter:
    """Fills ``decoded.npy`` below ``folder``: only what is added takes space on the disk. Raises ``OSError``."""

    def __init__(self, folder: Path, capacity: int, resize: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        remove_decoded(folder)
        self._folder = folder
        self._rows: dict[str, DecodedRow] = {}
        self._array = ArrayFile(folder / DECODED, (max(1, capacity), resize, resize, 3))

    def add(self, key: str, sha256: str, image: NDArray[np.uint8]) -> None:
        """Append the image (resize, resize, 3) that was decoded from an original. Raises ``OSError``."""
        self._array.write(len(self._rows), image[None])
        self._rows[key] = DecodedRow(row=len(self._rows), sha256=sha256)

    def close(self) -> None:
        """Make the array durable, then the index. Raises ``OSError``."""
        self._array.sync()
        with sibling(self._folder / INDEX) as partial:
            with partial.open("wb") as file:
                file.write(DecodedIndex(rows=self._rows).model_dump_json().encode())
                file.flush()
                os.fsync(file.fileno())
            partial.replace(self._folder / INDEX)
        sync_folder(self._folder)


class DecodedImages:
    """What a ``DecodedWriter`` has left."""

    def __init__(self, array: NDArray[np.uint8], rows: Mapping[str, DecodedRow]) -> None:
        self._array = array
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def find(self, key: str, sha256: str) -> NDArray[np.uint8] | None:
        """The image (resize, resize, 3) of this original with this content; None where it was not decoded."""
        found = self._rows.get(key)
        return self._array[found.row] if found is not None and found.sha256 == sha256 else None

    def by_key(self) -> Iterator[tuple[str, NDArray[np.uint8]]]:
        """(key of the original, image) of all, in the order in which they were added."""
        return ((key, self._array[found.row]) for key, found in self._rows.items())


def open_decoded(folder: Path, resize: int) -> DecodedImages:
    """What lies decoded below ``folder``, of this side in pixels; nothing where files are missing or damaged."""
    nothing = DecodedImages(np.zeros((0, resize, resize, 3), np.uint8), {})
    try:
        rows = DecodedIndex.model_validate_json((folder / INDEX).read_bytes()).rows
        array = np.load(folder / DECODED, mmap_mode="r")
    except FileNotFoundError:
        return nothing
    except (ValidationError, ValueError, EOFError) as error:
        logger.warning("decoded images are damaged, the originals are read again: %s", error)
        return nothing
    last = max((one.row for one in rows.values()), default=-1)
    if array.dtype != np.uint8 or array.shape[1:] != (resize, resize, 3) or last >= len(array):
        logger.warning("decoded images do not fit their index, the originals are read again")
        return nothing
    return DecodedImages(array, rows)


def remove_decoded(folder: Path) -> None:
    """Remove both files, the index first: an index never speaks of another array."""
    (folder / INDEX).unlink(missing_ok=True)
    (folder / DECODED).unlink(missing_ok=True)
