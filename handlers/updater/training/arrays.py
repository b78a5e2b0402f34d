"""From a plan to the arrays that the learning child reads: ``train.npy``, ``labels.npy``, ``holdout.safetensors``."""

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from handlers.bucket.seen_images import Learnt
from handlers.bucket.update_documents import Entry, Plan
from handlers.inference.preprocess import BadImageError
from handlers.parallel import ordered_map
from handlers.updater.context.decoded_images import open_decoded, remove_decoded
from handlers.updater.context.parent import ParentVersion
from handlers.updater.intake.reader import Reader
from handlers.updater.intake.uploaded_file import UploadedFile
from lucir_core.files import ArrayFile
from lucir_core.memory.image_blobs import ImageBlobs, image_digest
from model_store.layout import HOLDOUT, SEEN_IMAGES
from model_store.objects import ObjectNotFoundError, ObjectStore, ObjectTooLargeError, StoreError

logger = logging.getLogger(__name__)

TRAIN, LABELS, PREPARED = "train.npy", "labels.npy", "prepared"
FORGOTTEN = "forgotten.json"
"""``image_digest`` (hex) of corrected images, which leave the class that they were learnt as."""


class OriginalsGoneError(StoreError):
    """So many originals were taken away while an update ran that it cannot be learnt as planned."""


class Preparation:
    """Writes the arrays of one plan to ``folder``; ``tick`` is called for each image."""

    def __init__(
        self, objects: ObjectStore, reader: Reader, plan: Plan, folder: Path, tick: Callable[[], None]
    ) -> None:
        self._objects = objects
        self._reader = reader
        self._plan = plan
        self._folder = folder
        self._tick = tick
        self._digests: dict[str, bytes] = {}
        self._decoded = open_decoded(folder, plan.resize)

    def run(self, parent: ParentVersion | None) -> None:
        """Write everything, the file ``PREPARED`` last. Images that the ingest left here need not be read again.

        Raises ``StoreError``, ``OSError``, and what ``tick`` raises.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        self._write_train(self._plan.of_role("train"))
        added = self._encoded(self._plan.of_role("holdout"))
        moved = parent.learnt.find(entry.sha256 for entry in self._plan.of_role("train", "holdout")) if parent else {}
        digests = parent.learnt.digests_of(moved) if parent else set[bytes]()
        digests |= {self._digests[sha] for sha in moved if sha in self._digests}
        (self._folder / FORGOTTEN).write_text(json.dumps(sorted(one.hex() for one in digests)), encoding="utf-8")
        self._write_holdout(added, parent, digests)
        self._write_learnt(parent, moved)
        remove_decoded(self._folder)
        (self._folder / PREPARED).touch()

    def _write_train(self, entries: Sequence[Entry]) -> None:
        index = {name: position for position, name in enumerate(self._plan.classes)}
        side = self._plan.resize
        partial = self._folder / "train.partial"
        images = ArrayFile(partial, (len(entries), side, side, 3))
        labels: list[int] = []
        for entry, image in self._decoded_images(entries):
            images.write(len(labels), image[None])
            labels.append(index[entry.class_name or ""])
        images.sync()
        self._check_new(labels)
        # The array may have rows at its end that nothing was left for; the labels tell how many count.
        np.save(self._folder / LABELS, np.array(labels, np.int64))
        partial.replace(self._folder / TRAIN)

    def _write_holdout(
        self, added: tuple[list[bytes], list[int]], parent: ParentVersion | None, forgotten: set[bytes]
    ) -> None:
        held = ImageBlobs.load(parent.folder / HOLDOUT) if parent is not None else ImageBlobs.empty()
        held = held.without(forgotten) if forgotten else held
        together = np.concatenate([held.labels, np.array(added[1], np.int64)])
        ImageBlobs((*held.pngs, *added[0]), together, self._plan.classes).save(self._folder / HOLDOUT)

    def _encoded(self, entries: Sequence[Entry]) -> tuple[list[bytes], list[int]]:
        """One by one: the images of a thousand classes would not fit into memory otherwise."""
        index = {name: position for position, name in enumerate(self._plan.classes)}
        pngs: list[bytes] = []
        labels: list[int] = []
        for entry, image in self._decoded_images(entries):
            pngs += ImageBlobs.from_arrays(image[None], np.zeros(1, np.int64), ("",)).pngs
            labels.append(index[entry.class_name or ""])
        return pngs, labels

    def _write_learnt(self, parent: ParentVersion | None, moved: Iterable[str]) -> None:
        learnt = parent.learnt.without(moved) if parent is not None else Learnt.empty()
        entries = self._plan.of_role("train", "holdout")
        names = [entry.class_name or "" for entry in entries]
        hashes = [entry.sha256 for entry in entries]
        learnt.extended(hashes, names, self._plan.classes, self._digests).save(self._folder / SEEN_IMAGES)

    def _decoded_images(self, entries: Sequence[Entry]) -> Iterator[tuple[Entry, NDArray[np.uint8]]]:
        """Decoded images in plan order, without those whose originals were removed in the meantime."""

        def find(entry: Entry) -> tuple[Entry, NDArray[np.uint8] | None]:
            image = self._decoded.find(entry.key, entry.sha256)
            return entry, self._read_again(entry) if image is None else image

        for entry, image in ordered_map(find, entries):
            self._tick()
            if image is None:
                logger.warning("an original is gone: learning goes on without it", extra={"key": entry.key})
            else:
                self._digests[entry.sha256] = image_digest(image)
                yield entry, image

    def _read_again(self, entry: Entry) -> NDArray[np.uint8] | None:
        """The decoded image is lost: read the original where it lies, or where it has been archived to."""
        for key in (entry.key, entry.target):
            try:
                info = self._objects.stat(key)
                file, image = self._reader.read_one(UploadedFile(info, "", entry.key, entry.class_name))
            except (ObjectNotFoundError, ObjectTooLargeError, BadImageError):
                continue
            if file.sha256 == entry.sha256:
                return image
        return None

    def _check_new(self, labels: Sequence[int]) -> None:
        counts = np.bincount(np.array(labels, np.int64), minlength=len(self._plan.classes))
        empty = [name for name in self._plan.new_classes if counts[self._plan.classes.index(name)] == 0]
        if empty or not labels:
            raise OriginalsGoneError(
                f"the originals of update {self._plan.id} were removed or replaced before they could be learnt "
                f"(classes {', '.join(empty) or 'all'}): drop them again"
            )


def read_forgotten(folder: Path) -> tuple[str, ...]:
    """What ``Preparation`` found to be forgotten first; nothing where an earlier release prepared."""
    try:
        return tuple(json.loads((folder / FORGOTTEN).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return ()
