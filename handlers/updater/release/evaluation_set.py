"""The images of an evaluation: what all drops held out, or the user's own; and the measurement over them."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from handlers.updater.context.update import Update
from handlers.updater.context.version_spec import VersionSpec
from handlers.updater.intake.evaluation_images import own_images
from handlers.updater.intake.update_reader import update_reader
from handlers.updater.release.evaluate import (
    FIRST,
    Examinee,
    Lineage,
    Predictions,
    batched,
    recorded,
    share,
    summarise,
)
from handlers.updater.release.gate import Evidence, judge
from handlers.updater.release.left_out import joined, left_out, show_mistakes
from handlers.updater.release.report.doubts import save_asked
from handlers.updater.release.report.mistakes import MistakeRecorder
from handlers.updater.training.arrays import LABELS, TRAIN
from handlers.updater.training.messages import STATE
from model_store.layout import FEATURES, MODEL
from model_store.manifest import Evaluation, Gate

OWN_IMAGES = "own_images"
"""Folder, in the update's, of the user's own images as they were decoded."""


def measure(update: Update, spec: VersionSpec) -> Evaluation:
    """Evaluate a candidate's exported model, and its parent on the same images of the classes that both know.

    What the gate may not refuse (``spec.is_judged``) passes: what a person asks to be renamed, removed or deleted is,
    whatever that does to a figure.
    """
    settings = update.services.settings
    after, before = _answers(update, spec)
    parent = _lineage(spec, before)
    gate = Gate(passed=True)
    if spec.is_judged:
        remade = spec.change.merged if spec.change is not None else ()
        gate = judge(settings.gate, Evidence(spec.classes, after, before, spec.old_count, remade))
    return summarise(spec.number, spec.classes, after, parent, gate, is_phase=spec.is_phase)


def _answers(update: Update, spec: VersionSpec) -> tuple[Predictions, Predictions | None]:
    """Of the candidate, and of its parent under the candidate's classes: -1 where it names a class that is gone.

    Each image is read and decoded once. Those that the candidate learnt wrongly are remembered for the report.
    """
    threads = update.services.settings.learning.threads
    features = spec.folder / STATE / FEATURES
    candidate = Examinee(spec.folder / MODEL, threads, keeps_features=features.exists())
    asked = spec.parent if not spec.relearnt else None
    parent = Examinee(asked.folder / MODEL, threads) if asked is not None else None
    mistakes, own = MistakeRecorder(), set[int]()
    for images, labels in batched(_images(update, spec, own), spec.preprocessing.size):
        mistakes.see(images, labels, candidate.ask(images, labels))
        if parent is not None and (known := labels < spec.old_count).any():
            parent.ask(images[known], labels[known])
    after = candidate.predictions()
    if features.exists():
        if candidate.features:  # nothing is held out: all that was asked are the user's own images
            save_asked(spec.folder, np.concatenate(candidate.features), after.labels)
        after = joined(after, left_out(features, own))
        _show_newest(update, spec, mistakes)
    mistakes.save(spec.folder)
    if spec.parent is not None and spec.relearnt:
        return after, recorded(spec.parent.evaluation.confusion)
    if spec.parent is None or spec.change is None or parent is None:
        return after, None
    new_labels, before = spec.change.new_labels, parent.predictions()
    before = Predictions(before.labels, new_labels[before.cnn], new_labels[before.nme])
    if features.exists():
        before = joined(before, left_out(spec.parent.folder / FEATURES, own, new_labels))
    return after, before


def _images(update: Update, spec: VersionSpec, own: set[int]) -> Iterator[tuple[NDArray[np.uint8], int]]:
    """(image, label): the user's own first, whose labels join ``own``, then what is held out of the other classes."""
    services, index = update.services, {name: label for label, name in enumerate(spec.classes)}
    reader = update_reader(update, spec.preprocessing.resize)
    keep = spec.candidate.kind == "provisional"  # the learnt version is still to be shown them
    for name, image in own_images(services.objects, spec.own_evaluation, reader, update.folder / OWN_IMAGES, keep=keep):
        services.tick()
        own.add(index[name])
        yield image, index[name]
    for position, label in enumerate(spec.holdout.labels.tolist()):
        services.tick()
        if label not in own:
            yield spec.holdout.decode(position), label


def _show_newest(update: Update, spec: VersionSpec, mistakes: MistakeRecorder) -> None:
    """With a frozen backbone nothing is held out: the mistakes to look at are among the images of this update."""
    if (update.folder / TRAIN).exists():
        count = len(np.load(update.folder / LABELS))
        images = np.load(update.folder / TRAIN, mmap_mode="r")[:count]
        show_mistakes(mistakes, spec.folder / STATE / FEATURES, images, len(spec.classes))


def _lineage(spec: VersionSpec, before: Predictions | None) -> Lineage:
    """The parent, as if it had had these classes."""
    if spec.parent is None or spec.change is None or before is None:
        return FIRST
    evaluation, right = spec.parent.evaluation, before.cnn == before.labels
    best = spec.of_parent(evaluation.class_best)
    for label in spec.change.merged:
        if (reached := share(right[before.labels == label])) is not None:
            best[spec.classes[label]] = reached
    return Lineage(spec.parent.manifest.version, spec.old_count, best, evaluation.history, share(right))
