"""The evaluation images that a model got wrong, kept while it is measured, and some of them to look at."""

import base64
import io
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from handlers.bucket.report_document import Mistake

FILE = "mistakes.npz"
KEPT = 24
"""Images in a report."""
PER_PAIR = 3
"""Of one class taken for one other."""
CANDIDATES = 400
"""Mistakes that are kept, the most confident first."""
LARGEST_SIDE = 96
"""Pixels: a larger image is scaled down."""


class MistakeRecorder:
    """Sees every evaluation image with its answer; keeps the most confident mistakes in bounded memory."""

    def __init__(self) -> None:
        self._found: list[tuple[float, int, int, int, NDArray[np.uint8]]] = []
        self._seen = 0

    def see(self, images: NDArray[np.uint8], labels: NDArray[np.int64], probabilities: NDArray[np.float32]) -> None:
        """images: (n, side, side, 3); labels: (n,); probabilities: (n, classes)."""
        answers = probabilities.argmax(axis=1)
        for index in np.flatnonzero(answers != labels).tolist():
            sure = float(probabilities[index, answers[index]])
            self._found.append((-sure, self._seen + index, int(labels[index]), int(answers[index]), images[index]))
        self._seen += len(labels)
        if len(self._found) > 2 * CANDIDATES:
            self._cut()

    def save(self, folder: Path) -> None:
        """Write what a report may show."""
        self._cut()
        images = [item[4] for item in self._found]
        with (folder / FILE).open("wb") as file:
            np.savez(
                file,
                true=np.array([item[2] for item in self._found], np.int64),
                answered=np.array([item[3] for item in self._found], np.int64),
                sure=np.array([-item[0] for item in self._found], np.float64),
                pictures=np.stack(images) if images else np.zeros((0, 1, 1, 3), np.uint8),
            )

    def _cut(self) -> None:
        self._found.sort(key=lambda item: item[:2])
        del self._found[CANDIDATES:]


def load_mistakes(folder: Path, classes: tuple[str, ...], old_count: int) -> tuple[Mistake, ...]:
    """Some of the mistakes, the surest first, no pair of classes too often; none where nothing was remembered.

    Old classes taken for new ones come first: that is the error that incremental learning is about.
    """
    try:
        with np.load(folder / FILE) as found:
            true, answered, sure = found["true"].tolist(), found["answered"].tolist(), found["sure"].tolist()
            images = found["pictures"]
    except FileNotFoundError:
        return ()
    order = sorted(range(len(true)), key=lambda index: not (true[index] < old_count <= answered[index]))
    chosen = _spread(order, [(true[index], answered[index]) for index in order])
    return tuple(
        Mistake(
            true=classes[true[index]],
            predicted=classes[answered[index]],
            probability=round(sure[index], 4),
            png=_png(images[index]),
        )
        for index in chosen
    )


def _spread(order: Iterable[int], pairs: Iterable[tuple[int, int]]) -> list[int]:
    counts: dict[tuple[int, int], int] = defaultdict(int)
    chosen: list[int] = []
    for index, pair in zip(order, pairs, strict=True):
        if counts[pair] < PER_PAIR and len(chosen) < KEPT:
            counts[pair] += 1
            chosen.append(index)
    return chosen


def _png(pixels: NDArray[np.uint8]) -> str:
    image = Image.fromarray(pixels)
    image.thumbnail((LARGEST_SIDE, LARGEST_SIDE))
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()
