"""What is odd about the labels of an update's images: by their neighbours among all stored features."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from handlers.bucket.layout import EVALUATION
from handlers.bucket.report_document import Doubts, LooksLike, LooksSame, MayBeMistaken
from handlers.bucket.seen_images import Learnt, short
from handlers.bucket.update_documents import Plan
from lucir_core.files import save_tensors_atomically
from lucir_core.frozen.suspects import (
    duplicates_across_classes,
    duplicates_between,
    lookalikes,
    mislabelled,
    neighbour_votes,
)
from lucir_core.memory.feature_memory import FeatureMemory

Asked = tuple[NDArray[np.float32], NDArray[np.int64]]
"""Features (n, dim) and labels (n,) of the images that a version was asked to evaluate it."""
ASKED_FILE = "asked_features.safetensors"
"""Holds them until the report is written."""
LEAST = 5
"""Images of a class, below which its neighbours say too little."""
WARNED_SHARE = 0.1
"""Of images that look mislabelled in a drop: above that somebody is warned."""
LISTED = 50


def save_asked(folder: Path, features: NDArray[np.float32], labels: NDArray[np.int64]) -> None:
    """Keep what ``load_asked`` gives."""
    save_tensors_atomically(folder / ASKED_FILE, {"features": features, "labels": labels}, {})


def load_asked(folder: Path) -> Asked | None:
    """None where there were no such images."""
    if not (folder / ASKED_FILE).exists():
        return None
    rows = load_file(folder / ASKED_FILE)
    return rows["features"], rows["labels"]


def find_doubts(
    memory: FeatureMemory, classes: tuple[str, ...], keys: Mapping[bytes, str], asked: Asked | None = None
) -> Doubts:
    """Doubts about the images of the newest phase; keys: where each lies in the store, by its digest.

    asked: features (n, dim) and labels (n,) of the user's own evaluation images. One that looks like an image which was
    learnt, whatever its class, flatters the figure: such pairs are among the duplicates.
    """
    labels = memory.labels
    new = np.flatnonzero(memory.phases == memory.phases.max(initial=0))
    old = np.flatnonzero(memory.phases != memory.phases.max(initial=0))
    large = np.bincount(labels, minlength=len(classes)) >= LEAST
    judged = new[large[labels[new]]]
    if not len(judged) or len(labels) < 2:
        return Doubts(judged=0, share=0.0, mislabelled=(), left_out=0, duplicates=(), lookalikes=())
    votes = neighbour_votes(memory.features, labels, len(classes), judged)
    found = mislabelled(votes, labels[judged])
    return Doubts(
        judged=len(judged),
        share=len(found) / len(judged),
        mislabelled=tuple(
            LooksLike(
                key=keys.get(memory.digests[judged[one.row]].tobytes()),
                name=classes[one.label],
                looks_like=classes[one.looks_like],
                margin=round(one.margin, 4),
            )
            for one in found[:LISTED]
        ),
        left_out=max(0, len(found) - LISTED),
        duplicates=(*_duplicates(memory, classes, keys, new, old), *_in_evaluation(memory, classes, keys, new, asked))[
            :LISTED
        ],
        lookalikes=tuple(
            MayBeMistaken(name=classes[pair.label], other=classes[pair.other], share=round(pair.share, 4))
            for pair in lookalikes(votes, labels[judged])[:LISTED]
        ),
    )


def keys_by_digest(plan: Plan, learnt: Learnt) -> dict[bytes, str]:
    """Where the images of an update lie in the store once it has ended, by the digest of what was made of them."""
    targets = {short(entry.sha256): entry.target for entry in plan.of_role("train")}
    pairs = zip(learnt.hashes, learnt.digests, strict=True)
    return {digest.tobytes(): targets[sha.tobytes()] for sha, digest in pairs if sha.tobytes() in targets}


def _in_evaluation(
    memory: FeatureMemory,
    classes: tuple[str, ...],
    keys: Mapping[bytes, str],
    new: NDArray[np.int64],
    asked: Asked | None,
) -> tuple[LooksSame, ...]:
    if asked is None:
        return ()
    features, labels = asked
    return tuple(
        LooksSame(
            key=keys.get(memory.digests[new[pair.first]].tobytes()),
            name=classes[memory.labels[new[pair.first]]],
            other_key=f"{EVALUATION}{classes[labels[pair.second]]}/",
            other=classes[labels[pair.second]],
            cosine=round(pair.cosine, 4),
        )
        for pair in duplicates_between(memory.features[new], features)
    )


def _duplicates(
    memory: FeatureMemory,
    classes: tuple[str, ...],
    keys: Mapping[bytes, str],
    new: NDArray[np.int64],
    old: NDArray[np.int64],
) -> tuple[LooksSame, ...]:
    features, labels = memory.features, memory.labels
    within = [
        (new[pair.first], new[pair.second], pair.cosine)
        for pair in duplicates_across_classes(features[new], labels[new])
    ]
    between = [
        (new[pair.first], old[pair.second], pair.cosine) for pair in duplicates_between(features[new], features[old])
    ]
    pairs = [pair for pair in (*within, *between) if labels[pair[0]] != labels[pair[1]]]
    return tuple(
        LooksSame(
            key=keys.get(memory.digests[first].tobytes()),
            name=classes[labels[first]],
            other_key=keys.get(memory.digests[second].tobytes()),
            other=classes[labels[second]],
            cosine=round(cosine, 4),
        )
        for first, second, cosine in sorted(pairs, key=lambda pair: -pair[2])
    )
