"""The answers of a version with a frozen backbone to its own images, each left out in turn when it was answered.

Nothing is held out then: the learning child has computed, in closed form, what the head answers to every image when it
is made without that image (``lucir_core.frozen``).
"""

from collections.abc import Collection
from pathlib import Path

import numpy as np

from handlers.updater.release.evaluate import Labels, Predictions
from handlers.updater.release.report.mistakes import MistakeRecorder
from lucir_core.memory.feature_memory import FeatureMemory


def left_out(path: Path, without: Collection[int], new_labels: Labels | None = None) -> Predictions:
    """The answers in a version's file of features, but for images of the classes ``without``: these are measured in
    another way. new_labels: (classes,) what becomes of the labels; images of those that become -1 are left out."""
    memory = FeatureMemory.load(path)
    answers = memory.answers
    if answers is None:
        raise ValueError(f"{path} has no answers: its head was not computed")
    become = np.arange(memory.labels.max(initial=-1) + 1) if new_labels is None else new_labels
    labels = become[memory.labels]
    counted = (labels >= 0) & (answers.served >= 0) & ~np.isin(labels, list(without))
    if new_labels is None:
        return Predictions(labels[counted], answers.served[counted], answers.nearest[counted], int(counted.sum()))
    served, nearest = become[answers.served[counted]], become[answers.nearest[counted]]
    return Predictions(labels[counted], served, nearest, int(counted.sum()))


def joined(first: Predictions, second: Predictions) -> Predictions:
    """Both one after the other."""
    return Predictions(
        labels=np.concatenate([first.labels, second.labels]),
        cnn=np.concatenate([first.cnn, second.cnn]),
        nme=np.concatenate([first.nme, second.nme]),
        left_out=first.left_out + second.left_out,
    )


def show_mistakes(recorder: MistakeRecorder, path: Path, images: np.ndarray, class_count: int) -> None:
    """Let the recorder see those of the newest images that were answered wrongly; images: (n, side, side, 3)."""
    memory = FeatureMemory.load(path)
    if memory.answers is None:
        return
    first = len(memory) - len(images)
    labels, served = memory.labels[first:], memory.answers.served[first:]
    for row in np.flatnonzero((served != labels) & (served >= 0)).tolist():
        probabilities = np.zeros((1, class_count), np.float32)
        probabilities[0, served[row]] = memory.answers.probability[first + row]
        recorder.see(np.asarray(images[row : row + 1]), labels[row : row + 1], probabilities)
