"""From an edited state to a version: its manifest and its files."""

from pathlib import Path

import onnxruntime
import yaml

from handlers.bucket.edit_documents import EDIT, EditPlan
from handlers.bucket.edit_rules import regrouping
from handlers.bucket.seen_images import FILE as LEARNT
from handlers.torchserve.canary import FILE as CANARY
from handlers.updater.context.parent import Base
from handlers.updater.context.update import Update
from handlers.updater.intake.reader import Reader
from handlers.updater.release.canary import make_canary
from handlers.updater.release.publish import features_file
from handlers.updater.release.report.write import write_report
from handlers.updater.training.messages import RESULT, STATE, Result
from lucir_core.memory.image_blobs import ImageBlobs
from model_store.layout import CHECKPOINT, CONFIG, EVALUATION, EXEMPLARS, HOLDOUT, MODEL
from model_store.manifest import Calibration, Counts, Manifest
from model_store.objects import StoreError


def edit_plan(update: Update) -> EditPlan:
    """What the request means, which has been found out. Raises ``StoreError``."""
    edit = update.services.records.read(EditPlan, update.id, EDIT)
    if edit is None:
        raise StoreError(f"update {update.id} has no {EDIT}")
    return edit


def edit_reader(update: Update, base: Base) -> Reader:
    """Reads images as the edited version wants them, whatever the settings say by now."""
    update.folder.mkdir(parents=True, exist_ok=True)
    services = update.services
    return Reader(services.objects, services.settings.images, base.manifest.preprocessing.resize, update.folder)


def assemble_edit(update: Update) -> tuple[Manifest, dict[str, Path]]:
    """The manifest (without its files) and the files, by name."""
    base, folder, edit = update.base(), update.folder, edit_plan(update)
    if base is None:
        raise StoreError(f"update {update.id} edits no version")
    result: Result = Result.read(folder / RESULT)
    (folder / CONFIG).write_text(yaml.safe_dump(result.config, sort_keys=False, allow_unicode=True), encoding="utf-8")
    holdout = ImageBlobs.load(folder / HOLDOUT)
    held = dict(zip(holdout.classes, holdout.counts().tolist(), strict=True))
    manifest = base.manifest.model_copy(
        update={
            "version": update.version,
            "kind": "edited",
            "parent": base.manifest.version,
            "update_id": update.id,
            "created_at": update.plan.created_at,
            "classes": update.plan.classes,
            "new_classes": update.plan.new_classes,
            "updated_classes": update.plan.updated_classes,
            "config": result.config,
            "calibration": None if result.calibration is None else Calibration.model_validate(result.calibration),
            "counts": Counts(train=_trained(base, edit, held), holdout=held, exemplars=result.exemplars),
            "files": {},
            "software": {**result.software, "onnxruntime": onnxruntime.__version__},
            "timings": {**update.timings(), **{f"child_{name}": value for name, value in result.seconds.items()}},
        }
    )
    files = {
        MODEL: folder / MODEL,
        CHECKPOINT: folder / STATE / CHECKPOINT,
        EXEMPLARS: folder / STATE / EXEMPLARS,
        **features_file(folder),
        HOLDOUT: folder / HOLDOUT,
        LEARNT: folder / LEARNT,
        EVALUATION: folder / EVALUATION,
        CONFIG: folder / CONFIG,
        **_canary(update, base, holdout if len(holdout) else ImageBlobs.load(folder / STATE / EXEMPLARS)),
        **write_report(update, folder, update.version, "edited", _accuracy_before(base, edit)),
    }
    return manifest, files


def _canary(update: Update, base: Base, holdout: ImageBlobs) -> dict[str, Path]:
    """The held-out pictures that servers ask before they switch; none where none are held out."""
    if not len(holdout):
        return {}
    path, shape, threads = (
        update.folder / CANARY,
        base.manifest.preprocessing,
        update.services.settings.learning.threads,
    )
    made = make_canary(holdout, update.folder / MODEL, shape.size, shape.resize, threads)
    path.write_text(made.model_dump_json(indent=2), encoding="utf-8")
    return {CANARY: path}


def _accuracy_before(base: Base, edit: EditPlan) -> dict[str, float]:
    """The accuracies of the version before under the new names; a merged class had none."""
    change, known = regrouping(edit.operation, base.manifest.classes), base.evaluation.class_accuracy
    olds = [(name, change.before[group[0]]) for name, group in zip(change.classes, change.groups, strict=True)]
    merged = {change.classes[label] for label in change.merged}
    return {name: known[old] for name, old in olds if old in known and name not in merged}


def _trained(base: Base, edit: EditPlan, held: dict[str, int]) -> dict[str, int]:
    """How many images each class was trained on, without those that were deleted or belonged to a removed class."""
    before, classes = base.manifest.counts, base.manifest.classes
    change = regrouping(edit.operation, classes)
    counts = {
        name: sum(before.train.get(classes[old], 0) for old in group)
        for name, group in zip(change.classes, change.groups, strict=True)
    }
    deleted = list(base.learnt.find(edit.learnt).values())
    for name in set(deleted):
        not_held = deleted.count(name) - (before.holdout.get(name, 0) - held.get(name, 0))
        counts[name] = max(0, counts[name] - not_held)
    return counts
