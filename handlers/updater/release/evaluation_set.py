"""The pictures of an evaluation: what all drops held out, or the user's own; and the measurement over them."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from handlers.updater.context.candidate import Draft
from handlers.updater.context.update import Update
from handlers.updater.intake.evaluation_images import classes_measured_with_own_images, own_images
from handlers.updater.intake.update_reader import update_reader
from handlers.updater.release.evaluate import Lineage, batched, predict, summarise, uncounted
from handlers.updater.release.left_out import joined, left_out, show_mistakes
from handlers.updater.release.report.mistakes import MistakeRecorder
from handlers.updater.training.arrays import LABELS, TRAIN
from handlers.updater.training.messages import STATE
from lucir_core.memory.image_blobs import ImageBlobs
from model_store.layout import FEATURES, HOLDOUT, MODEL
from model_store.manifest import Evaluation


def measure(update: Update, draft: Draft) -> Evaluation:
    """Evaluate a draft's exported model, and its parent on the same pictures of the old classes."""
    services, plan, base, folder = update.services, update.plan, update.base(), update.folder
    size, threads = services.config.size, services.settings.learning.threads
    reader = update_reader(update)
    own = classes_measured_with_own_images(services.objects, plan, reader)
    index = {name: position for position, name in enumerate(plan.classes)}
    blobs = ImageBlobs.load(folder / HOLDOUT)

    def pictures(below: int) -> Iterator[tuple[NDArray[np.uint8], int]]:
        for position, label in enumerate(blobs.labels.tolist()):
            services.tick()
            if label < below and blobs.classes[label] not in own:
                yield blobs.decode(position), label
        for name, picture in own_images(services.objects, own, reader):
            services.tick()
            if index[name] < below:
                yield picture, index[name]

    mistakes = MistakeRecorder()
    everything = predict(draft.folder / MODEL, batched(pictures(len(plan.classes)), size), threads, mistakes.see)
    if services.config.frozen:
        features = draft.folder / STATE / FEATURES
        everything = joined(everything, left_out(features, plan.classes, own))
        labels = np.load(folder / LABELS)
        show_mistakes(mistakes, features, np.load(folder / TRAIN, mmap_mode="r")[: len(labels)], len(plan.classes))
    mistakes.save(draft.folder)
    parent = Lineage(None, 0, {}, (), None)
    if base is not None:
        old = len(base.manifest.classes)
        before = predict(base.folder / MODEL, batched(pictures(old), size), threads)
        if services.config.frozen:
            before = joined(before, left_out(base.folder / FEATURES, base.manifest.classes, own))
        accuracy = float((before.cnn == before.labels).mean()) if before.labels.size else None
        evaluation = base.evaluation
        parent = Lineage(base.manifest.version, old, dict(evaluation.class_best), evaluation.history, accuracy)
    summary = summarise(draft.number, plan.classes, everything, parent, services.settings.gate)
    return summary if draft.kind == "learnt" else uncounted(summary, parent)
