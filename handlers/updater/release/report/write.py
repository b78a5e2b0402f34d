"""The report of one version, written into the folder that it is made in, before it is stored."""

import logging
from collections.abc import Mapping
from pathlib import Path

from handlers.bucket.report_document import REPORT_HTML, REPORT_JSON, Doubts, Report
from handlers.bucket.seen_images import Learnt
from handlers.bucket.update_documents import Plan
from handlers.updater.context.update import Update
from handlers.updater.context.version_spec import VersionSpec
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
from handlers.updater.release.report.doubts import WARNED_SHARE, find_doubts, keys_by_digest, load_asked
from handlers.updater.release.report.html import render
from handlers.updater.release.report.mistakes import load_mistakes
from handlers.updater.training.messages import RESULT, STATE, Result
from lucir_core.memory.feature_memory import FeatureMemory
from model_store.layout import EVALUATION, FEATURES
from model_store.manifest import Evaluation

logger = logging.getLogger(__name__)


def write_report(update: Update, spec: VersionSpec) -> dict[str, Path]:
    """Write both files into the candidate's folder, which holds its evaluation; give them by name."""
    folder = spec.folder
    evaluation = Evaluation.model_validate_json((folder / EVALUATION).read_bytes())
    doubts = _doubts(update, spec) if spec.is_phase else None
    report = make_report(spec, update.plan, evaluation, update.timings(), doubts)
    if doubts is not None and doubts.share > WARNED_SHARE:
        found = len(doubts.mislabelled) + doubts.left_out
        message = (
            f"{found} of {doubts.judged} images of update {update.id} look mislabelled: "
            f"see the report of version {spec.number} (lucir report {spec.number})"
        )
        logger.warning(message)
        update.services.status.add_error("labels", message)
    if report.advice is not None:
        update.services.status.add_error("preset", f"version {spec.number}: {report.advice}")
    files = {REPORT_JSON: folder / REPORT_JSON, REPORT_HTML: folder / REPORT_HTML}
    files[REPORT_JSON].write_text(report.model_dump_json(indent=1) + "\n", encoding="utf-8")
    files[REPORT_HTML].write_text(render(report), encoding="utf-8")
    return files


def _doubts(update: Update, spec: VersionSpec) -> Doubts | None:
    path = spec.folder / STATE / FEATURES
    if not path.exists():
        return None
    keys = keys_by_digest(update.plan, Learnt.load(spec.learnt))
    return find_doubts(FeatureMemory.load(path), spec.classes, keys, load_asked(spec.folder))


def _result(spec: VersionSpec) -> Result | None:
    """What the child said, where there was one: a version that an earlier release made may have none."""
    path = spec.folder / RESULT
    return Result.read(path) if path.exists() else None


def make_report(
    spec: VersionSpec, plan: Plan, evaluation: Evaluation, seconds: Mapping[str, float], doubts: Doubts | None = None
) -> Report:
    """The report of a version: what ``plan`` brought in and what was measured; its folder may hold mistakes."""
    classes, old_count = spec.classes, spec.old_count
    came, reasons = incoming(plan), rejections(plan)
    before = spec.of_parent(spec.parent.evaluation.class_accuracy) if spec.parent is not None else {}
    rows = changes(evaluation, classes, old_count, before)
    small, result = len(classes) <= LARGEST_MATRIX, _result(spec)
    return Report(
        version=spec.number,
        parent=plan.parent,
        update_id=plan.id,
        kind=spec.candidate.kind,
        asked=spec.asked,
        created_at=spec.created_at,
        new_classes=spec.new_classes,
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
        matrix=evaluation.confusion.table() if small else None,
        matrix_classes=classes if small else (),
        classes=tuple(rows[:LISTED_CLASSES]),
        classes_left_out=max(0, len(rows) - LISTED_CLASSES),
        mistakes=load_mistakes(spec.folder, classes, old_count),
        seconds=dict(seconds),
        doubts=doubts,
        advice=result.advice if result is not None else None,
        refinement=result.refinement if result is not None else None,
    )
