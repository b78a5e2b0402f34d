"""The versions as ``/api/versions`` shows them. What was read once is kept: versions never change."""

import logging
import threading
import time
from collections.abc import Sequence
from typing import Any

from handlers.bucket.report_document import REPORT_HTML
from handlers.bucket.updates import UpdateRecords
from handlers.bucket.version_changes import changes_of
from handlers.updater.metrics import average
from lucir_core.frozen.intervals import Interval, accuracy_interval
from model_store.documents import VersionNotFoundError
from model_store.manifest import Evaluation, Manifest
from model_store.objects import StoreError
from model_store.versions import VersionStore

logger = logging.getLogger(__name__)

FRESH_SECONDS = 30.0
"""How long a list is believed when nobody says that it changed."""


class VersionsView:
    """Thread-safe. Only versions that are asked for are read: one of 1,000 classes costs about 50 ms."""

    def __init__(self, versions: VersionStore, records: UpdateRecords) -> None:
        self._versions = versions
        self._records = records
        self._lock = threading.Lock()
        self._numbers: list[int] = []
        self._known: dict[int, dict[str, Any]] = {}
        self._read_at: float | None = None

    def refresh(self) -> None:
        """A version may have been added."""
        with self._lock:
            self._read_at = None

    def numbers(self, current: int | None = None) -> list[int]:
        """All versions, ascending; ``current`` is known to be one. Raises ``StoreError``."""
        with self._lock:
            return self._list(current)

    def describe(self, current: int | None = None, numbers: Sequence[int] | None = None) -> list[dict[str, Any]]:
        """All versions, or those of ``numbers``, ascending, the refused ones too. Raises ``StoreError``.

        One that cannot be read has only its number and an ``error``, and is tried again with the next list.
        """
        with self._lock:
            known = self._list(current)
            wanted = known if numbers is None else sorted(set(numbers) & set(known))
            for number in wanted:
                if number not in self._known:
                    self._known[number] = self._read(number)
            return [self._known[number] for number in wanted]

    def one(self, number: int) -> dict[str, Any]:
        """One version. Raises ``VersionNotFoundError`` for a number that no version has."""
        found = self.describe(number, [number])
        if not found:
            self._versions.manifest(number)  # says which versions there are
            raise VersionNotFoundError(f"there is no version {number}: it was made a moment ago, ask again")
        return found[0]

    def _list(self, current: int | None) -> list[int]:
        present = time.monotonic()
        missing = current is not None and current not in self._numbers
        if self._read_at is None or missing or present - self._read_at > FRESH_SECONDS:
            self._numbers = sorted(self._versions.numbers())
            kept = set(self._numbers)
            self._known = {n: one for n, one in self._known.items() if n in kept and "error" not in one}
            self._read_at = present
        return self._numbers

    def _read(self, number: int) -> dict[str, Any]:
        try:
            manifest = self._versions.manifest(number)
            changed = changes_of(manifest, self._versions, self._records)
            return describe(manifest, self._versions.evaluation(number), changed)
        except StoreError as error:
            logger.warning("version %d cannot be read: %s", number, error)
            return {"version": number, "error": str(error)}


def describe(manifest: Manifest, evaluation: Evaluation, changed: str) -> dict[str, Any]:
    """One version in JSON values; ``interval`` is that of the served readout over all classes, 95 %.

    ``class_images``: on how many images the accuracy of each class was measured; ``class_intervals``: its 95 %
    interval.
    """
    measured = evaluation.cnn if manifest.readout == "cnn" else evaluation.nme
    images, right, left_out = evaluation.class_images, evaluation.confusion.right(), bool(evaluation.left_out)
    interval = accuracy_interval(measured.all, images, left_out=left_out)
    return {
        "version": manifest.version,
        "kind": manifest.kind,
        "parent": manifest.parent,
        "changed": changed,
        "update_id": manifest.update_id,
        "created_at": manifest.created_at.isoformat(),
        "method": manifest.method,
        "classes": list(manifest.classes),
        "class_count": len(manifest.classes),
        "new_classes": list(manifest.new_classes),
        "updated_classes": list(manifest.updated_classes),
        "counts": manifest.counts.model_dump(),
        "exemplar_count": sum(manifest.counts.exemplars.values()),
        "preprocessing": manifest.preprocessing.model_dump(),
        "evaluation_images": evaluation.images,
        "images": evaluation.images,
        "interval": _bounds(interval),
        "accuracy": {"cnn": evaluation.cnn.model_dump(), "nme": evaluation.nme.model_dump()},
        "class_accuracy": evaluation.class_accuracy,
        "class_intervals": {
            name: _bounds(accuracy_interval(right[label] / count, [count], left_out=left_out))
            for label, (name, count) in enumerate(zip(manifest.classes, images, strict=False))
            if count
        },
        "class_images": dict(zip(manifest.classes, images, strict=False)),
        "average_incremental_accuracy": average(evaluation.history),
        "forgetting": evaluation.forgetting,
        "old_as_new": evaluation.old_as_new,
        "parent_old_accuracy": evaluation.parent_old,
        "gate": {**evaluation.gate.model_dump(), "answer": evaluation.gate.answer},
        "refinement": None if manifest.refinement is None else manifest.refinement.model_dump(),
        "timings": manifest.timings,
        "report": REPORT_HTML in manifest.files,
        "size": sum(file.size for file in manifest.files.values()),
    }


def _bounds(interval: Interval) -> list[float]:
    return [interval.low, interval.high]
