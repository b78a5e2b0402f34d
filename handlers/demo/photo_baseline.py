"""What one writes without a pretrained network: gradient directions, colours, ridge regression."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ImageOps
from sklearn.linear_model import RidgeClassifier

from handlers.demo.material import Material
from handlers.inference.image_file import BadImageError
from handlers.inference.image_limits import Limits
from handlers.inference.preprocess import decode

CELLS, DIRECTIONS, SIDE = 8, 9, 64


def baseline_phases(material: Material) -> list[dict[str, Any]]:
    """Per drop, how many test images of each class so far are right, learnt again from all images so far."""
    names = [name for phase in material.phases for name in phase]
    parts = {part: {name: _described(images[name]) for name in names}
             for part, images in (("train", material.train), ("test", material.test))}  # fmt: skip
    results = []
    for end in np.cumsum([len(phase) for phase in material.phases]).tolist():
        known = names[:end]
        labels = np.concatenate([np.full(len(parts["train"][name]), name, object) for name in known])
        model = RidgeClassifier(alpha=1.0).fit(np.concatenate([parts["train"][name] for name in known]), labels)
        right = {name: int((model.predict(parts["test"][name]) == name).sum()) for name in known}
        results.append({"right": right, "counts": {name: len(parts["test"][name]) for name in known}})
    return results


def _described(files: Sequence[bytes]) -> NDArray[np.float64]:
    """(n, length) of those that can be read."""
    rows = []
    for file in files:
        try:
            image = decode(file, Limits())
        except BadImageError:  # the service refuses it too
            continue
        rows.append(describe(np.asarray(ImageOps.fit(image, (SIDE, SIDE)))))
    return np.stack(rows)


def describe(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """image: (64, 64, 3) uint8; a histogram of oriented gradients per cell of 8 x 8 pixels, and 64 colours."""
    rise, run = np.gradient(image.mean(axis=2))
    bins = np.minimum(((np.arctan2(rise, run) % np.pi) / np.pi * DIRECTIONS).astype(int), DIRECTIONS - 1)
    row, column = np.indices(bins.shape) * CELLS // SIDE
    cell = (row * CELLS + column) * DIRECTIONS + bins
    edges = np.bincount(cell.ravel(), np.hypot(rise, run).ravel(), CELLS * CELLS * DIRECTIONS)
    edges = edges.reshape(-1, DIRECTIONS)
    edges = edges / (np.linalg.norm(edges, axis=1, keepdims=True) + 1.0)
    red, green, blue = np.moveaxis(image // 64, 2, 0).astype(int)
    colours = np.bincount((red * 16 + green * 4 + blue).ravel(), minlength=64) / SIDE**2
    return np.concatenate([edges.ravel() / CELLS, np.sqrt(colours)])


def accuracy(rows: NDArray[np.float64], labels: NDArray[np.int64], train: list[int], test: list[int]) -> float:
    """Share of ``test`` that a ridge classifier of ``train`` has right; rows: (n, length) of ``describe``."""
    found = RidgeClassifier(alpha=1.0).fit(rows[train], labels[train]).predict(rows[test])
    return float((found == labels[test]).mean())
