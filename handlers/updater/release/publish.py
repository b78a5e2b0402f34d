"""From a made model to a version: measured, its manifest and files in the store, and the pointer if it may follow."""

import logging
from collections.abc import Mapping
from pathlib import Path

import onnxruntime
import yaml

from handlers.bucket.seen_images import FILE as LEARNT
from handlers.bucket.seen_images import Learnt
from handlers.torchserve.canary import FILE as CANARY
from handlers.updater.context.candidate import Draft
from handlers.updater.context.update import Update
from handlers.updater.errors import SupersededError
from handlers.updater.release.canary import write_canary
from handlers.updater.release.evaluation_set import measure
from handlers.updater.release.report.write import write_report
from handlers.updater.training.messages import RESULT, STATE, Result
from lucir_core.memory.image_blobs import ImageBlobs
from model_store.layout import CHECKPOINT, CONFIG, EVALUATION, EXEMPLARS, FEATURES, HOLDOUT, MODEL
from model_store.manifest import Calibration, Counts, Manifest, Preprocessing
from model_store.objects import PreconditionFailedError

logger = logging.getLogger(__name__)


def write_evaluation(update: Update, draft: Draft) -> None:
    """Measure a draft's exported model, and decide whether it may be served."""
    services = update.services
    evaluation = measure(update, draft)
    write_canary(update, draft)
    if not evaluation.gate.passed:
        services.metrics.show_refused(evaluation)
        name = f"version {draft.number}" if draft.kind == "learnt" else f"provisional version {draft.number}"
        services.status.add_error("gate", f"{name} is refused: {'; '.join(evaluation.gate.reasons)}")
    partial = draft.folder / "evaluation.partial"
    partial.write_text(evaluation.model_dump_json(indent=2), encoding="utf-8")
    partial.replace(draft.folder / EVALUATION)


def publish(update: Update, draft: Draft) -> None:
    """Upload a draft, its manifest last; a refused one too. Raises ``SupersededError``."""
    upload(update, draft, *assemble(update, draft))


def upload(update: Update, draft: Draft, manifest: Manifest, files: Mapping[str, Path]) -> None:
    """Publish and count a version of any kind; the manifest is written last. Raises ``SupersededError``."""
    check_parent(update)
    try:
        update.services.versions.publish(manifest, files)
    except PreconditionFailedError as error:
        raise SupersededError(str(error)) from error
    update.services.metrics.versions.labels(manifest.kind, "passed" if draft.passed() else "refused").inc()


def point(update: Update, draft: Draft, reason: str) -> None:
    """Let every server serve a draft that is in the store. Raises ``SupersededError``."""
    check_parent(update)
    try:
        update.services.versions.point_to(draft.number, reason)
    except PreconditionFailedError as error:
        raise SupersededError(str(error)) from error


def check_parent(update: Update) -> None:
    """Raise ``SupersededError`` when another version is served than those that this update knows of.

    These are the one it started from and those it made. A rollback from its provisional version to the parent, while
    it learns, only takes that version back.
    """
    pointer = update.services.versions.current()
    served = pointer.version if pointer is not None else None
    provisional = update.provisional
    if provisional is not None and provisional.is_served():
        return
    if served not in {update.plan.parent, update.version}:
        raise SupersededError(
            f"version {served} is served now, not {update.plan.parent}, which update {update.id} started from: "
            "its images are planned anew"
        )


def assemble(update: Update, draft: Draft) -> tuple[Manifest, dict[str, Path]]:
    """The manifest (without its files) and the files, by name, of the version that a draft becomes."""
    result: Result = Result.read(draft.folder / RESULT)
    plan, base, folder = update.plan, update.base(), draft.folder
    (folder / CONFIG).write_text(yaml.safe_dump(result.config, sort_keys=False, allow_unicode=True), encoding="utf-8")
    train = dict.fromkeys(plan.classes, 0)
    if base is not None:
        train |= base.manifest.counts.train
    for entry in plan.of_role("train"):
        if draft.kind == "learnt" or entry.class_name in plan.new_classes:
            train[entry.class_name or ""] += 1
    holdout = update.folder / HOLDOUT
    manifest = Manifest(
        version=draft.number,
        kind=draft.kind,
        parent=plan.parent,
        update_id=plan.id,
        created_at=plan.created_at,
        classes=plan.classes,
        new_classes=plan.new_classes,
        updated_classes=plan.updated_classes if draft.kind == "learnt" else (),
        preprocessing=Preprocessing(size=result.size, resize=result.resize),
        readout="cnn",
        calibration=None if result.calibration is None else Calibration.model_validate(result.calibration),
        method=result.method,
        config=result.config,
        counts=Counts(train=train, holdout=_held_out(holdout, plan.classes), exemplars=result.exemplars),
        files={},
        software={**result.software, "onnxruntime": onnxruntime.__version__},
        timings={**update.timings(), **{f"child_{name}": value for name, value in result.seconds.items()}},
    )
    files = {
        MODEL: folder / MODEL,
        CHECKPOINT: folder / STATE / CHECKPOINT,
        EXEMPLARS: folder / STATE / EXEMPLARS,
        **features_file(folder),
        HOLDOUT: holdout,
        LEARNT: _learnt(update, draft),
        EVALUATION: folder / EVALUATION,
        CONFIG: folder / CONFIG,
        **({CANARY: folder / CANARY} if (folder / CANARY).exists() else {}),
        **write_report(update, folder, draft.number, draft.kind),
    }
    return manifest, files


def features_file(folder: Path) -> dict[str, Path]:
    """The stored features of a version with a frozen backbone, by name; nothing for any other."""
    path = folder / STATE / FEATURES
    return {FEATURES: path} if path.exists() else {}


def _learnt(update: Update, draft: Draft) -> Path:
    """The hashes of what a version has learnt: a provisional one has left out the images of known classes."""
    everything = update.folder / LEARNT
    plan = update.plan
    left_out = [entry.sha256 for entry in plan.of_role("train") if entry.class_name in plan.updated_classes]
    if draft.kind == "learnt" or not left_out:
        return everything
    Learnt.load(everything).without(left_out).save(draft.folder / LEARNT)
    return draft.folder / LEARNT


def _held_out(path: Path, classes: tuple[str, ...]) -> dict[str, int]:
    counts = dict.fromkeys(classes, 0)
    blobs = ImageBlobs.load(path)
    for label in blobs.labels.tolist():
        counts[blobs.classes[label]] += 1
    return counts
