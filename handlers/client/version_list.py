"""The versions in a store, with what was measured on them."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from handlers.bucket.updates import UpdateRecords
from handlers.bucket.version_changes import changes_of
from handlers.inference.sessions.copy_choice import read_choice
from handlers.torchserve.folders import folder_name
from handlers.torchserve.outcome import describe_copy
from lucir_core.frozen.intervals import accuracy_interval
from model_store.manifest import Evaluation, Manifest
from model_store.objects import ObjectNotFoundError, ObjectStore, StoreError
from model_store.versions import VersionStore


@dataclass(frozen=True)
class VersionRow:
    """One version. A damaged one has an ``error`` and none of the rest; figures are shares of 1, None if not judged."""

    version: int
    current: bool
    error: str = ""
    kind: str = ""
    changed: str = ""
    """What came in or, for an edited version, what was asked for, in words."""
    created_at: str = ""
    """ISO 8601, UTC."""
    parent: int | None = None
    method: str = ""
    classes: tuple[str, ...] = ()
    new_classes: tuple[str, ...] = ()
    updated_classes: tuple[str, ...] = ()
    accuracy: float | None = None
    images: int | None = None
    """How many images the accuracy was measured on."""
    interval: tuple[float, float] | None = None
    """Of the accuracy, 95 % (``lucir_core.frozen.intervals``)."""
    old_accuracy: float | None = None
    new_accuracy: float | None = None
    forgetting: float | None = None
    gate: str = ""
    """Its answer in one word: passed, inconclusive or refused; "" if not judged."""
    gate_passed: bool | None = None
    gate_reasons: tuple[str, ...] = field(default=())
    """Of a refusal, or what too few images leave open."""
    refinement: dict[str, Any] | None = None
    """Of a version whose backbone was refined: what that changed, on images that no backbone has learnt from. One that
    the gate did not pass is kept, and not served."""

    serving_copy: dict[str, Any] | None = None
    """Which copy of its network answers on this machine, and how it compares; None where none was chosen."""

    def document(self) -> dict[str, Any]:
        """For ``--json``."""
        if self.error:
            return {"version": self.version, "current": self.current, "error": self.error}
        fields = {name: value for name, value in vars(self).items() if name != "error"}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in fields.items()}


def list_versions(objects: ObjectStore, models: Path | None = None) -> list[VersionRow]:
    """One row per version, newest last. ``models``: where this machine's server has its local copies of versions.

    Raises ``StoreError`` when the store cannot be read.
    """
    versions = VersionStore(objects)
    records = UpdateRecords(objects)
    pointer = versions.current()
    rows = []
    for number in versions.numbers():
        current = pointer is not None and pointer.version == number
        try:
            manifest = versions.manifest(number)
            changed = changes_of(manifest, versions, records)
            row = _describe(number, current, manifest, _evaluation(versions, number), changed)
            choice = read_choice(models / folder_name(number)) if models is not None else None
            rows.append(replace(row, serving_copy=describe_copy(choice)))
        except StoreError as error:
            rows.append(VersionRow(number, current, str(error)))
    return rows


def _evaluation(versions: VersionStore, number: int) -> Evaluation | None:
    try:
        return versions.evaluation(number)
    except ObjectNotFoundError:
        return None


def _describe(
    number: int, current: bool, manifest: Manifest, evaluation: Evaluation | None, changed: str
) -> VersionRow:
    measured = None if evaluation is None else getattr(evaluation, manifest.readout)
    interval = None
    if evaluation is not None and measured is not None:
        interval = accuracy_interval(measured.all, evaluation.class_images, left_out=bool(evaluation.left_out))
    return VersionRow(
        version=number,
        current=current,
        kind=manifest.kind,
        changed=changed,
        created_at=manifest.created_at.isoformat(),
        parent=manifest.parent,
        method=manifest.method,
        classes=tuple(manifest.classes),
        new_classes=tuple(manifest.new_classes),
        updated_classes=tuple(manifest.updated_classes),
        accuracy=measured.all if measured else None,
        images=evaluation.images if evaluation else None,
        interval=(interval.low, interval.high) if interval else None,
        old_accuracy=measured.old if measured else None,
        new_accuracy=measured.new if measured else None,
        forgetting=evaluation.forgetting if evaluation else None,
        refinement=None if manifest.refinement is None else manifest.refinement.model_dump(),
        gate=evaluation.gate.answer if evaluation else "",
        gate_passed=evaluation.gate.passed if evaluation else None,
        gate_reasons=(*evaluation.gate.reasons, *evaluation.gate.undecided) if evaluation else (),
    )
