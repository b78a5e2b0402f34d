"""Features of every image that a state has learnt, for a head that is computed from them.

5 KB an image (1280 float32 numbers): 12 classes of 45 images take 3 MB, 1,000 classes of 20 take 100 MB. With the rows
at hand a deletion is complete and nothing depends on the order in which images arrived.
"""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from lucir_core.errors import StateError
from lucir_core.files import save_tensors_atomically

DIGEST_BYTES = 16
FORMAT, WITH_SEEN = "lucir-features/1", "lucir-features/2"
"""The second where the backbone was trained on some images: a release that does not know of that must not go on."""


@dataclass(frozen=True, eq=False)
class Answers:
    """What a model says of each row when that row is left out of it."""

    served: NDArray[np.int64]
    """(n,) best class by the head; -1 where nothing honest can be said: the image was the only one of its class, or
    the backbone was trained on it."""
    nearest: NDArray[np.int64]
    """(n,) class of the nearest mean; -1 likewise."""
    probability: NDArray[np.float32]
    """(n,) of the best class."""
    cosine: NDArray[np.float32]
    """(n,) to the nearest class mean."""


@dataclass(frozen=True, eq=False)
class Moments:
    """What ridge regression needs of the first `counts.sum()` rows, each of length one and with a 1 behind it."""

    gram: NDArray[np.float64]
    """(width, width), of which the lower triangle counts: over classes, the sum of (1 / n_c) times the products."""
    sums: NDArray[np.float64]
    """(classes, width) sum of each class's rows."""
    counts: NDArray[np.int64]
    """(classes,) rows of each class."""


@dataclass(frozen=True, eq=False)
class FeatureMemory:
    """n rows in the order in which the images were learnt."""

    features: NDArray[np.float32]
    """(n, dim) as the backbone gives them, not normalised."""
    labels: NDArray[np.int64]
    """(n,) positions in the class list of the state."""
    phases: NDArray[np.int64]
    """(n,) the phase that each image came with."""
    digests: NDArray[np.uint8]
    """(n, 16) `image_digest` of the images."""
    answers: Answers | None = None
    """Of the state that the rows are saved with; None before a head was computed."""
    folds: NDArray[np.float32] | None = None
    """(folds, classes, dim): with LUCIR's head, the embeddings that the answers are taken from (see
    `lucir_core.frozen.lucir_head`)."""
    seen: NDArray[np.bool_] | None = None
    """(n,) images that the backbone was trained on (`lucir_core.refine`): leaving one out of the head does not tell how
    an image is answered that nobody has learnt from. None: none of them."""
    moments: Moments | None = None
    """Where the rows are very many: what their head was computed from, for the next drop to be added to."""

    def __len__(self) -> int:
        return len(self.labels)

    @classmethod
    def empty(cls, dim: int) -> Self:
        """No rows."""
        rows = np.zeros(0, np.int64)
        return cls(np.zeros((0, dim), np.float32), rows, rows, np.zeros((0, DIGEST_BYTES), np.uint8))

    def extended(
        self, features: NDArray[np.float32], labels: NDArray[np.int64], phase: int, digests: Sequence[bytes]
    ) -> "FeatureMemory":
        """With the rows of one phase behind the others."""
        table = np.frombuffer(b"".join(digests), np.uint8).reshape(-1, DIGEST_BYTES)
        return FeatureMemory(
            np.concatenate([self.features, features]),
            np.concatenate([self.labels, labels]),
            np.concatenate([self.phases, np.full(len(labels), phase, np.int64)]),
            np.concatenate([self.digests, table]),
            moments=self.moments,
            seen=None if self.seen is None else np.concatenate([self.seen, np.zeros(len(labels), bool)]),
        )

    def without(self, digests: Collection[bytes]) -> "FeatureMemory":
        """Without the images that have these digests."""
        return self.chosen(~self._among(digests))

    def labels_of(self, digests: Collection[bytes]) -> frozenset[int]:
        """Labels of the rows that have these digests."""
        return frozenset(self.labels[self._among(digests)].tolist())

    def relabelled(self, new_labels: NDArray[np.int64]) -> "FeatureMemory":
        """Row i gets the label `new_labels[labels[i]]`; rows whose new label is -1 are left out."""
        labels = new_labels[self.labels]
        return replace(self, labels=labels).chosen(labels >= 0)

    def rows_of(self, digests: Sequence[bytes]) -> NDArray[np.int64]:
        """The first row with each of these digests; -1 where there is none."""
        places: dict[bytes, int] = {}
        for row, digest in enumerate(self.digests):
            places.setdefault(digest.tobytes(), row)
        return np.array([places.get(digest, -1) for digest in digests], np.int64)

    def answered(
        self, answers: Answers, folds: NDArray[np.float32] | None = None, moments: Moments | None = None
    ) -> "FeatureMemory":
        """With what a head says of the rows, and what it was computed from."""
        return replace(self, answers=answers, folds=folds, moments=moments)

    def seen_anew(self, features: NDArray[np.float32], seen: NDArray[np.bool_]) -> "FeatureMemory":
        """The same images by another backbone, which was trained on those of `seen` (n,); without answers."""
        return FeatureMemory(features, self.labels, self.phases, self.digests, seen=seen)

    def chosen(self, kept: NDArray[np.bool_]) -> "FeatureMemory":
        """The rows where `kept` (n,) is true, without answers."""
        seen = None if self.seen is None else self.seen[kept]
        return FeatureMemory(self.features[kept], self.labels[kept], self.phases[kept], self.digests[kept], seen=seen)

    def _among(self, digests: Collection[bytes]) -> NDArray[np.bool_]:
        wanted = frozenset(digests)
        return np.array([row.tobytes() in wanted for row in self.digests], bool)

    def save(self, path: Path) -> None:
        """Write atomically."""
        tensors: dict[str, np.ndarray] = {
            "features": self.features,
            "labels": self.labels,
            "phases": self.phases,
            "digests": self.digests,
        }
        if self.folds is not None:
            tensors["folds"] = self.folds
        if self.seen is not None:
            tensors["seen"] = self.seen
        if self.moments is not None:
            tensors |= {f"moments.{name}": getattr(self.moments, name) for name in Moments.__dataclass_fields__}
        if self.answers is not None:
            tensors |= {f"answers.{name}": getattr(self.answers, name) for name in Answers.__dataclass_fields__}
        form = FORMAT if self.seen is None else WITH_SEEN
        save_tensors_atomically(path, tensors, {"format": json.dumps(form)})

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote; raises StateError on a file that is missing, damaged or of another format."""
        try:
            with safe_open(path, framework="numpy") as file:
                form = json.loads(file.metadata()["format"])
                names = set(file.keys())
                rows = {name: file.get_tensor(name) for name in names}
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            raise StateError(f"{path} is not a file of features, or it is damaged: {error}") from error
        if form not in (FORMAT, WITH_SEEN):
            raise StateError(f"{path} has format {form!r}, this version reads {FORMAT!r} and {WITH_SEEN!r}")
        answers = {name: rows.pop(f"answers.{name}", None) for name in Answers.__dataclass_fields__}
        moments = {name: rows.pop(f"moments.{name}", None) for name in Moments.__dataclass_fields__}
        try:
            return cls(
                **rows,
                answers=None if answers["served"] is None else Answers(**answers),
                moments=None if moments["gram"] is None else Moments(**moments),
            )
        except TypeError as error:
            raise StateError(f"{path} has other tensors than a file of features: {sorted(names)}") from error


def read_rows(path: Path, digests: Sequence[bytes]) -> NDArray[np.float32]:
    """(len(digests), dim): features of these images from a file of `FeatureMemory.save`, without reading the others.

    A row of NaN where no image has the digest. Raises StateError on a file that is missing or damaged.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            places = {row.tobytes(): place for place, row in reversed(list(enumerate(file.get_tensor("digests"))))}
            features = file.get_slice("features")
            found = np.full((len(digests), features.get_shape()[1]), np.nan, np.float32)
            for row, digest in enumerate(digests):
                if digest in places:
                    found[row] = features[places[digest]]
    except (OSError, SafetensorError) as error:
        raise StateError(f"{path} is not a file of features, or it is damaged: {error}") from error
    return found
