"""From a learnt and measured model to a version: its manifest, its files, and whether the pointer may follow."""

import logging
from pathlib import Path

import onnxruntime
import yaml

from handlers.updater.base import CHECKPOINT, CONFIG, EXEMPLARS, HOLDOUT, MODEL
from handlers.updater.learnt import FILE as LEARNT
from handlers.updater.task import RESULT, STATE, Result
from handlers.updater.update import SupersededError, Update
from lucir_core.blobs import ImageBlobs
from model_store.manifest import Counts, Manifest, Preprocessing
from model_store.versions import EVALUATION

logger = logging.getLogger(__name__)


def assemble(update: Update) -> tuple[Manifest, dict[str, Path]]:
    """The manifest (without its files) and the files, by name, of the version that an update has learnt."""
    result: Result = Result.read(update.folder / RESULT)
    plan, base, folder = update.plan, update.base(), update.folder
    (folder / CONFIG).write_text(yaml.safe_dump(result.config, sort_keys=False, allow_unicode=True))
    train = dict.fromkeys(plan.classes, 0)
    if base is not None:
        train |= base.manifest.counts.train
    for entry in plan.of_role("train"):
        train[entry.class_name or ""] += 1
    manifest = Manifest(
        version=update.version,
        parent=plan.parent,
        update_id=plan.id,
        created_at=plan.created_at,
        classes=plan.classes,
        new_classes=plan.new_classes,
        updated_classes=plan.updated_classes,
        preprocessing=Preprocessing(size=result.size, resize=result.resize),
        readout="cnn",
        method=result.method,
        config=result.config,
        counts=Counts(train=train, holdout=_held_out(folder / HOLDOUT, plan.classes), exemplars=result.exemplars),
        files={},
        software={**result.software, "onnxruntime": onnxruntime.__version__},
        timings={**update.timings(), **{f"child_{name}": value for name, value in result.seconds.items()}},
    )
    files = {
        MODEL: folder / MODEL,
        CHECKPOINT: folder / STATE / CHECKPOINT,
        EXEMPLARS: folder / STATE / EXEMPLARS,
        HOLDOUT: folder / HOLDOUT,
        LEARNT: folder / LEARNT,
        EVALUATION: folder / EVALUATION,
        CONFIG: folder / CONFIG,
    }
    return manifest, files


def is_pointed(update: Update) -> bool:
    """Whether the pointer has named this version: it may have been moved on since, which is not to be undone."""
    pointer = update.services.versions.current()
    return pointer is not None and update.version in {pointer.version, pointer.previous}


def check_parent(update: Update) -> None:
    """Raise ``SupersededError`` when another version is served than the one that this update started from."""
    pointer = update.services.versions.current()
    served = pointer.version if pointer is not None else None
    if served not in {update.plan.parent, update.version}:
        raise SupersededError(
            f"version {served} is served now, not {update.plan.parent}, which update {update.id} started from: "
            "its images are planned anew"
        )


def _held_out(path: Path, classes: tuple[str, ...]) -> dict[str, int]:
    counts = dict.fromkeys(classes, 0)
    blobs = ImageBlobs.load(path)
    for label in blobs.labels.tolist():
        counts[blobs.classes[label]] += 1
    return counts
