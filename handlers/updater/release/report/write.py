"""The report of one version, written into the folder that it is made in, before it is stored."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from handlers.bucket.report_document import REPORT_HTML, REPORT_JSON, Doubts, Report
from handlers.bucket.seen_images import Learnt
from handlers.bucket.update_documents import Plan
from handlers.updater.context.update import Update
from handlers.updater.release.report.collect import (
    LARGEST_MATRIX,
    LISTED_CLASSES,
    LISTED_REASONS,
    changes,
    confusions,
    figures,
    incoming,
    rejections,
    taken,
)
from handlers.updater.release.report.doubts import WARNED_SHARE, find_doubts, keys_by_digest
from handlers.updater.release.report.html import render
from handlers.updater.release.report.mistakes import load_mistakes
from handlers.updater.training.messages import STATE
from lucir_core.memory.feature_memory import FeatureMemory
from model_store.layout import EVALUATION, FEATURES, SEEN_IMAGES
from model_store.manifest import Evaluation


def write_report(
    update: Update,
    folder: Path,
    number: int,
    kind: Literal["learnt", "provisional", "edited"],
    before: Mapping[str, float] | None = None,
) -> dict[str, Path]:
    """Write both files into ``folder``, which holds the version's evaluation; give them by name.

    before: accuracy of the classes in the version before, by their present names; default: as it was measured.
    """
    base = update.base()
    request = update.intent.edit
    report = make_report(
        update.plan,
        Evaluation.model_validate_json((folder / EVALUATION).read_bytes()),
        folder,
        number=number,
        kind=kind,
        known=len(base.manifest.classes) if base is not None else 0,
        before=before or (base.evaluation.class_accuracy if base is not None else {}),
        asked=str(request.operation) if request is not None else None,
        seconds=update.timings(),
        doubts=_doubts(update, folder) if kind == "learnt" else None,
    )
    if report.doubts is not None and report.doubts.share > WARNED_SHARE:
        update.services.status.add_error(
            "labels",
            f"{report.doubts.share:.0%} of the {report.doubts.judged} images of update {update.id} look mislabelled: "
            f"see the report of version {number} (lucir report {number})",
        )
    files = {REPORT_JSON: folder / REPORT_JSON, REPORT_HTML: folder / REPORT_HTML}
    files[REPORT_JSON].write_text(report.model_dump_json(indent=1) + "\n", encoding="utf-8")
    files[REPORT_HTML].write_text(render(report), encoding="utf-8")
    return files


def _doubts(update: Update, folder: Path) -> Doubts | None:
    path = folder / STATE / FEATURES
    if not path.exists():
        return None
    keys = keys_by_digest(update.plan, Learnt.load(update.folder / SEEN_IMAGES))
    return find_doubts(FeatureMemory.load(path), update.plan.classes, keys)


def make_report(
    plan: Plan,
    evaluation: Evaluation,
    folder: Path,
    *,
    number: int,
    kind: Literal["learnt", "provisional", "edited"],
    known: int,
    before: Mapping[str, float],
    asked: str | None,
    seconds: Mapping[str, float],
    doubts: Doubts | None = None,
) -> Report:
    """``known``: classes of the version before; ``before``: their accuracies then; ``folder`` may hold mistakes."""
    classes = plan.classes
    old_count = len(classes) if kind == "edited" else min(known, len(classes))
    came, reasons = incoming(plan), rejections(plan)
    rows = changes(evaluation, classes, old_count, before)
    small = len(classes) <= LARGEST_MATRIX
    return Report(
        version=number,
        parent=plan.parent,
        update_id=plan.id,
        kind=kind,
        asked=asked,
        created_at=plan.created_at,
        new_classes=plan.new_classes,
        updated_classes=plan.updated_classes,
        class_count=len(classes),
        incoming=tuple(came[:LISTED_CLASSES]),
        incoming_left_out=max(0, len(came) - LISTED_CLASSES),
        rejections=tuple(reasons[:LISTED_REASONS]),
        rejections_left_out=max(0, len(reasons) - LISTED_REASONS),
        accuracy=figures(evaluation),
        gate=evaluation.gate,
        taken=taken(evaluation, old_count),
        confusions=tuple(confusions(evaluation, classes, old_count)),
        matrix=evaluation.confusion if small else None,
        matrix_classes=classes if small else (),
        classes=tuple(rows[:LISTED_CLASSES]),
        classes_left_out=max(0, len(rows) - LISTED_CLASSES),
        mistakes=load_mistakes(folder, classes, old_count),
        seconds=dict(seconds),
        doubts=doubts,
    )
