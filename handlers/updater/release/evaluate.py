"""What an exported model can do, measured on images it was never trained on: its answers, and all that is counted."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from handlers.inference.preprocess import crop
from handlers.parallel import usable_cores
from lucir_core.evaluate import forgetting_by_class
from model_store.forms.confusion import Confusion
from model_store.manifest import Accuracy, Evaluation, Gate

BATCH = 64
READOUTS = {"cnn": "probabilities", "nme": "prototype_cosines"}
Labels = NDArray[np.int64]
Batch = tuple[NDArray[np.uint8], Labels]


@dataclass(frozen=True)
class Predictions:
    """Answers to the same images: labels, and each readout's argmax, all (n,)."""

    labels: Labels
    cnn: Labels
    nme: Labels
    left_out: int = 0
    """How many of them were learnt from, each answered by a model made without it."""


def open_model(path: Path, threads: int | None) -> onnxruntime.InferenceSession:
    """The model on the CPU: a graphics card belongs to learning and to serving."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or usable_cores()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # servers want the cores, too
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def recorded(confusion: Confusion) -> Predictions:
    """The answers that a confusion counts; by nearest means it tells nothing else."""
    true, answered = np.array(confusion.true, np.int64), np.array(confusion.answered, np.int64)
    labels, answers = (np.repeat(which, np.array(confusion.images, np.int64)) for which in (true, answered))
    return Predictions(labels, answers, answers)


class Examinee:
    """A model that is asked batch by batch, and what it has answered."""

    def __init__(self, model: Path, threads: int | None = None, *, keeps_features: bool = False) -> None:
        self._session = open_model(model, threads)
        self._outputs = [*READOUTS.values(), *(["features"] if keeps_features else [])]
        self.features: list[NDArray[np.float32]] = []
        """Of all images so far, batch by batch (n, dim), if they are kept."""
        empty = np.zeros(0, np.int64)
        self._parts = [(empty, empty, empty)]

    def ask(self, images: NDArray[np.uint8], labels: Labels) -> NDArray[np.float32]:
        """Show images (n, size, size, 3) of these labels (n,); the probabilities (n, classes) that they are given."""
        cnn, nme, *features = self._session.run(self._outputs, {"images": images})
        self.features += features
        self._parts.append((labels, cnn.argmax(axis=1), nme.argmax(axis=1)))
        probabilities: NDArray[np.float32] = cnn
        return probabilities

    def predictions(self) -> Predictions:
        """The answers so far."""
        labels, cnn, nme = (np.concatenate(column) for column in zip(*self._parts, strict=True))
        return Predictions(labels, cnn, nme)


def batched(images: Iterable[tuple[NDArray[np.uint8], int]], size: int) -> Iterator[Batch]:
    """Centre-crop images to ``size`` and put them into batches."""
    crops: list[NDArray[np.uint8]] = []
    labels: list[int] = []
    for image, label in images:
        crops.append(crop(image, size))
        labels.append(label)
        if len(crops) == BATCH:
            yield np.stack(crops), np.array(labels, np.int64)
            crops, labels = [], []
    if crops:
        yield np.stack(crops), np.array(labels, np.int64)


@dataclass(frozen=True)
class Lineage:
    """The parent of the version that is evaluated, under that version's class names; empty for the first version."""

    version: int | None
    classes: int
    """How many classes it has: they are the first ones of the new version."""
    class_best: Mapping[str, float]
    history: tuple[float, ...]
    old_accuracy: float | None
    """What it reaches on the same images of its classes."""


FIRST = Lineage(None, 0, {}, (), None)


def summarise(
    version: int,
    classes: Sequence[str],
    predictions: Predictions,
    parent: Lineage,
    gate: Gate,
    *,
    is_phase: bool = True,
) -> Evaluation:
    """Every number of a version beside what the gate said of it.

    A version that is not a phase (provisional, edited) has the history and the best accuracies of its parent.
    """
    labels = predictions.labels
    old = labels < parent.classes
    served, accuracy = predictions.cnn, accuracies(labels, predictions.cnn, parent.classes)
    right = Counter(labels[served == labels].tolist())
    total = Counter(labels.tolist())
    by_class = {name: right[index] / total[index] for index, name in enumerate(classes) if total[index]}
    best = dict(parent.class_best)
    best_of_old = {name: best[name] for name in classes[: parent.classes] if name in best}
    if is_phase:
        best |= {name: max(share, best.get(name, 0.0)) for name, share in by_class.items()}
    pairs, images = np.unique(np.stack([labels, served]), axis=1, return_counts=True)
    has_new = len(classes) > parent.classes
    return Evaluation(
        version=version,
        parent=parent.version,
        images=len(labels),
        cnn=accuracy,
        nme=accuracies(labels, predictions.nme, parent.classes),
        class_accuracy=by_class,
        class_best={name: best[name] for name in classes if name in best},
        old_as_new=float((served[old] >= parent.classes).mean()) if old.any() and has_new else None,
        forgetting=forgetting_by_class(best_of_old, by_class),
        history=(*parent.history, accuracy.all) if is_phase else parent.history,
        parent_old=parent.old_accuracy,
        confusion=Confusion.of(len(classes), zip(*pairs.tolist(), images.tolist(), strict=True)),
        gate=gate,
        left_out=predictions.left_out,
    )


def accuracies(labels: Labels, answers: Labels, old_count: int) -> Accuracy:
    """Over all classes, over the first ``old_count`` of them and over the others."""
    right, old = answers == labels, labels < old_count
    return Accuracy(all=share(right) or 0.0, old=share(right[old]), new=share(right[~old]))


def share(right: NDArray[np.bool_]) -> float | None:
    """Of images (n,) that are right or not, how many are; None of none."""
    return float(right.mean()) if right.size else None
