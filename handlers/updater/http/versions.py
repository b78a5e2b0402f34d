"""The versions as ``/api/versions`` shows them. What was read once is kept: versions never change."""

import logging
import threading
import time
from typing import Any

from handlers.bucket.report_document import REPORT_HTML
from handlers.updater.metrics import average
from lucir_core.frozen.intervals import of_share
from model_store.manifest import Evaluation, Manifest
from model_store.objects import StoreError
from model_store.versions import VersionStore

logger = logging.getLogger(__name__)

FRESH_SECONDS = 30.0
"""How long a list is believed when nobody says that it changed."""


class VersionsView:
    """Thread-safe."""

    def __init__(self, versions: VersionStore) -> None:
        self._versions = versions
        self._lock = threading.Lock()
        self._known: dict[int, dict[str, Any]] = {}
        self._read_at: float | None = None

    def refresh(self) -> None:
        """A version may have been added."""
        with self._lock:
            self._read_at = None

    def describe(self, current: int | None = None) -> list[dict[str, Any]]:
        """All versions, ascending, the refused ones too; ``current`` is known to be one. Raises ``StoreError``."""
        with self._lock:
            present = time.monotonic()
            missing = current is not None and current not in self._known
            if self._read_at is None or missing or present - self._read_at > FRESH_SECONDS:
                numbers = self._versions.numbers()
                self._known = {number: self._known.get(number) or self._read(number) for number in numbers}
                self._read_at = present
            return [self._known[number] for number in sorted(self._known)]

    def _read(self, number: int) -> dict[str, Any]:
        try:
            return describe(self._versions.manifest(number), self._versions.evaluation(number))
        except StoreError as error:
            logger.warning("version %d cannot be read: %s", number, error)
            return {"version": number, "error": str(error)}


def describe(manifest: Manifest, evaluation: Evaluation) -> dict[str, Any]:
    """One version in JSON values; ``interval`` is that of the served readout over all classes, 95 %."""
    measured = evaluation.cnn if manifest.readout == "cnn" else evaluation.nme
    interval = of_share(measured.all, evaluation.images)
    return {
        "version": manifest.version,
        "kind": manifest.kind,
        "parent": manifest.parent,
        "update_id": manifest.update_id,
        "created_at": manifest.created_at.isoformat(),
        "method": manifest.method,
        "classes": list(manifest.classes),
        "new_classes": list(manifest.new_classes),
        "updated_classes": list(manifest.updated_classes),
        "counts": manifest.counts.model_dump(),
        "evaluation_images": evaluation.images,
        "images": evaluation.images,
        "interval": [interval.low, interval.high],
        "accuracy": {"cnn": evaluation.cnn.model_dump(), "nme": evaluation.nme.model_dump()},
        "class_accuracy": evaluation.class_accuracy,
        "average_incremental_accuracy": average(evaluation.history),
        "forgetting": evaluation.forgetting,
        "old_as_new": evaluation.old_as_new,
        "parent_old_accuracy": evaluation.parent_old,
        "gate": evaluation.gate.model_dump(),
        "timings": manifest.timings,
        "report": REPORT_HTML in manifest.files,
        "size": sum(file.size for file in manifest.files.values()),
    }
