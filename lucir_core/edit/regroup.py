"""Which of the known classes become which, when a person renames, merges or removes some. No torch.

A regrouping lists, for every class there will be, the classes it is made of. Classes keep their order; a merged class
stands where the first of its parts stood.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lucir_core.errors import DataError
from lucir_core.memory.image_blobs import ImageBlobs
from lucir_core.registry import nearest_names


@dataclass(frozen=True)
class Regrouping:
    """`groups[i]`: positions, in the old class list, of the classes that become `classes[i]`; ascending."""

    groups: tuple[tuple[int, ...], ...]
    classes: tuple[str, ...]
    before: tuple[str, ...]
    """The old class list."""

    @property
    def new_labels(self) -> np.ndarray:
        """(old classes,) int64: the new label of each old one; -1 where the class is gone."""
        labels = np.full(len(self.before), -1, np.int64)
        for label, group in enumerate(self.groups):
            labels[list(group)] = label
        return labels

    @property
    def merged(self) -> tuple[int, ...]:
        """New labels of classes that are made of several."""
        return tuple(label for label, group in enumerate(self.groups) if len(group) > 1)


def unchanged(classes: Sequence[str]) -> Regrouping:
    """Every class stays what it is."""
    return Regrouping(tuple((label,) for label in range(len(classes))), tuple(classes), tuple(classes))


def renaming(classes: Sequence[str], old: str, new: str) -> Regrouping:
    """`old` is called `new`. Raises DataError for an unknown class, or when there is a class `new` already."""
    position = _position(classes, old)
    if new == old:
        raise DataError(f"the class {old!r} has this name already")
    if new in classes:
        raise DataError(f"there is a class {new!r} already: to join the two, merge {old!r} into it")
    names = [*classes[:position], new, *classes[position + 1 :]]
    return Regrouping(tuple((label,) for label in range(len(classes))), tuple(names), tuple(classes))


def merging(classes: Sequence[str], sources: Sequence[str], target: str) -> Regrouping:
    """`sources` become one class `target`, which may be one of them, another known class (then it is merged as well)
    or a new name. Raises DataError for unknown classes, and when fewer than two classes would be joined."""
    parts = {_position(classes, name) for name in sources}
    if target in classes:
        parts.add(classes.index(target))
    if len(parts) < 2:
        raise DataError(f"merging needs at least two different classes: only {', '.join(map(repr, sources))} is named")
    first = min(parts)
    groups, names = [], []
    for label, name in enumerate(classes):
        if label == first:
            groups.append(tuple(sorted(parts)))
            names.append(target)
        elif label not in parts:
            groups.append((label,))
            names.append(name)
    return Regrouping(tuple(groups), tuple(names), tuple(classes))


def removal(classes: Sequence[str], name: str) -> Regrouping:
    """Remove class `name`. Raises DataError for an unknown class."""
    gone = _position(classes, name)
    kept = [label for label in range(len(classes)) if label != gone]
    return Regrouping(tuple((label,) for label in kept), tuple(classes[label] for label in kept), tuple(classes))


def regroup_blobs(blobs: ImageBlobs, change: Regrouping) -> ImageBlobs:
    """The images under their new labels, classes ascending, their order within a class kept; those of classes that
    are gone are left out. The images of a merged class follow the order of its parts."""
    if blobs.classes != change.before:
        raise DataError(f"the images are of {len(blobs.classes)} classes, the regrouping is of others")
    labels = change.new_labels[blobs.labels]
    order = np.lexsort((np.arange(len(labels)), blobs.labels, labels))
    kept = order[labels[order] >= 0]
    return ImageBlobs(tuple(blobs.pngs[index] for index in kept.tolist()), labels[kept], change.classes)


def _position(classes: Sequence[str], name: str) -> int:
    if name not in classes:
        raise DataError(f"there is no class {name!r}: {nearest_names(name, classes)}")
    return list(classes).index(name)
