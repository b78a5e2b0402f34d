"""What the exported model can do, measured on pictures it was never trained on."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from handlers.inference.preprocess import crop
from handlers.settings import GateSettings
from handlers.updater.release.gate import judge
from lucir_core.evaluate import forgetting_by_class
from model_store.manifest import Accuracy, Evaluation

BATCH = 64
READOUTS = {"cnn": "probabilities", "nme": "prototype_cosines"}
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Predictions:
    """Answers to the same pictures: labels, and each readout's argmax, all (n,)."""

    labels: Labels
    cnn: Labels
    nme: Labels


Batch = tuple[NDArray[np.uint8], Labels]
Watch = Callable[[NDArray[np.uint8], Labels, NDArray[np.float32]], None]
"""Sees pictures, their labels and the probabilities (n, classes) that they were given."""


def open_model(path: Path, threads: int | None) -> onnxruntime.InferenceSession:
    """The model on the CPU: a graphics card belongs to learning and to serving."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def predict(model: Path, batches: Iterable[Batch], threads: int | None = None, see: Watch | None = None) -> Predictions:
    """Run a model over batches of (pictures (n, size, size, 3), labels (n,)); ``see`` is shown every batch."""
    session = open_model(model, threads)
    parts: list[tuple[Labels, Labels, Labels]] = []
    for images, labels in batches:
        cnn, nme = session.run(list(READOUTS.values()), {"images": images})
        parts.append((labels, cnn.argmax(axis=1), nme.argmax(axis=1)))
        if see is not None:
            see(images, labels, cnn)
    if not parts:
        empty = np.zeros(0, np.int64)
        return Predictions(empty, empty, empty)
    labels, cnn, nme = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Predictions(labels, cnn, nme)


def batched(pictures: Iterable[tuple[NDArray[np.uint8], int]], size: int) -> Iterator[Batch]:
    """Centre-crop pictures to ``size`` and put them into batches."""
    images: list[NDArray[np.uint8]] = []
    labels: list[int] = []
    for picture, label in pictures:
        images.append(crop(picture, size))
        labels.append(label)
        if len(images) == BATCH:
            yield np.stack(images), np.array(labels, np.int64)
            images, labels = [], []
    if images:
        yield np.stack(images), np.array(labels, np.int64)


@dataclass(frozen=True)
class Lineage:
    """The parent of the version that is evaluated; for the first version all is empty."""

    version: int | None
    classes: int
    """How many classes it has: they are the first ones of the new version."""
    class_best: dict[str, float]
    history: tuple[float, ...]
    old_accuracy: float | None
    """What it reaches on the same pictures of its classes."""


def summarise(
    version: int, classes: Sequence[str], predictions: Predictions, parent: Lineage, gate: GateSettings
) -> Evaluation:
    """Every number of a version, and the gate's decision."""
    labels = predictions.labels
    old = labels < parent.classes
    accuracies = {name: _accuracy(labels, getattr(predictions, name), old) for name in READOUTS}
    served = predictions.cnn
    right = Counter(labels[served == labels].tolist())
    total = Counter(labels.tolist())
    by_class = {name: right[index] / total[index] for index, name in enumerate(classes) if total[index]}
    known_best = parent.class_best
    best_of_old = {name: known_best[name] for name in classes[: parent.classes] if name in known_best}
    confusion = np.zeros((len(classes), len(classes)), np.int64)
    np.add.at(confusion, (labels, served), 1)
    has_new = len(classes) > parent.classes
    return Evaluation(
        version=version,
        parent=parent.version,
        images=len(labels),
        cnn=accuracies["cnn"],
        nme=accuracies["nme"],
        class_accuracy=by_class,
        class_best={
            name: max(by_class.get(name, 0.0), known_best.get(name, 0.0))
            for name in classes
            if name in by_class or name in known_best
        },
        old_as_new=float((served[old] >= parent.classes).mean()) if old.any() and has_new else None,
        forgetting=forgetting_by_class(best_of_old, by_class),
        history=(*parent.history, accuracies["cnn"].all),
        parent_old=parent.old_accuracy,
        confusion=tuple(tuple(row) for row in confusion.tolist()),
        gate=judge(gate, len(labels), accuracies["cnn"], parent.old_accuracy),
    )


def uncounted(evaluation: Evaluation, parent: Lineage) -> Evaluation:
    """The same of a version that is no phase of its line: averages and forgetting go on from its parent's."""
    return evaluation.model_copy(update={"history": parent.history, "class_best": parent.class_best})


def _accuracy(labels: Labels, answers: Labels, old: NDArray[np.bool_]) -> Accuracy:
    right = answers == labels
    return Accuracy(all=_mean(right) or 0.0, old=_mean(right[old]), new=_mean(right[~old]))


def _mean(right: NDArray[np.bool_]) -> float | None:
    return float(right.mean()) if right.size else None
