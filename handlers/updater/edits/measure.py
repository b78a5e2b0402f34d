"""What an edited version can do, beside the version it was made from, on the same pictures."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from handlers.bucket.edit_documents import Merge, Operation
from handlers.updater.context.parent import Base
from handlers.updater.context.update import Update
from handlers.updater.intake.evaluation_images import classes_with_own_images, own_images
from handlers.updater.intake.reader import Reader
from handlers.updater.release.evaluate import Lineage, Predictions, batched, predict, summarise
from handlers.updater.release.left_out import after_edit, joined, left_out
from handlers.updater.release.report.mistakes import MistakeRecorder
from handlers.updater.training.messages import STATE
from lucir_core.edit.regroup import Regrouping
from lucir_core.memory.image_blobs import ImageBlobs
from model_store.layout import FEATURES, HOLDOUT, MODEL
from model_store.manifest import Evaluation, Gate


def measure_edit(update: Update, base: Base, operation: Operation, change: Regrouping, reader: Reader) -> Evaluation:
    """Evaluate an edited model. Only merging can make it worse, so only merging can be refused by the gate: what a
    person asks to be removed is removed, whatever that does to a figure."""
    services, folder, classes = update.services, update.folder, change.classes
    size, threads = base.manifest.preprocessing.size, services.settings.learning.threads
    own = classes_with_own_images(services.objects, classes, reader)
    index = {name: position for position, name in enumerate(classes)}
    blobs = ImageBlobs.load(folder / HOLDOUT)

    def pictures() -> Iterator[tuple[NDArray[np.uint8], int]]:
        for position, label in enumerate(blobs.labels.tolist()):
            services.tick()
            if classes[label] not in own:
                yield blobs.decode(position), label
        for name, picture in own_images(services.objects, own, reader):
            services.tick()
            yield picture, index[name]

    mistakes = MistakeRecorder()
    after = predict(folder / MODEL, batched(pictures(), size), threads, mistakes.see)
    mistakes.save(folder)
    before = regrouped(predict(base.folder / MODEL, batched(pictures(), size), threads), change)
    if (folder / STATE / FEATURES).exists():
        after = joined(after, left_out(folder / STATE / FEATURES, classes, own))
        before = joined(before, after_edit(base.folder / FEATURES, change))
    parent = lineage(base, before, change)
    evaluation = summarise(update.version, classes, after, parent, services.settings.gate)
    # An edit is no phase: averages and forgetting go on from those of the version before.
    evaluation = evaluation.model_copy(update={"history": parent.history, "class_best": parent.class_best})
    if isinstance(operation, Merge):
        return evaluation
    return evaluation.model_copy(update={"gate": Gate(passed=True)})


def regrouped(predictions: Predictions, change: Regrouping) -> Predictions:
    """The answers of the version before in the classes of the version after; -1 where such a class is gone."""
    labels = change.new_labels
    return Predictions(predictions.labels, labels[predictions.cnn], labels[predictions.nme])


def lineage(base: Base, before: Predictions, change: Regrouping) -> Lineage:
    """The version before, as if it had had these classes."""
    evaluation = base.evaluation
    right = before.cnn == before.labels
    best: dict[str, float] = {}
    for label, (name, group) in enumerate(zip(change.classes, change.groups, strict=True)):
        mine = before.labels == label
        if len(group) == 1 and change.before[group[0]] in evaluation.class_best:
            best[name] = evaluation.class_best[change.before[group[0]]]
        elif len(group) > 1 and mine.any():
            best[name] = float(right[mine].mean())
    accuracy = float(right.mean()) if right.size else None
    return Lineage(base.manifest.version, len(change.classes), best, evaluation.history, accuracy)
