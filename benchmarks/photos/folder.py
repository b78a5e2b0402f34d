"""A folder of class folders in memory: features of the frozen backbone, and how the baseline describes each image."""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps

from handlers.demo.photo_baseline import SIDE, describe
from lucir_core import LearnerState, load_preset
from lucir_core.frozen.analytic import unit_rows
from lucir_core.frozen.calibrate import known_score, softmax
from lucir_core.frozen.extraction import FeatureExtractor
from lucir_core.frozen.frozen_head import with_head
from lucir_core.memory.feature_memory import FeatureMemory
from lucir_core.memory.image_blobs import ImageBlobs, image_digest
from lucir_core.models.heads import AnalyticHead
from lucir_core.models.model import IncrementalModel, create_model

SEED = 1993
METHODS = {
    "analytic": ("photo", {}),
    "expanded": ("photo", {"analytic.expansion": 2048}),
    "lucir": ("photo_lucir", {}),
}
"""Presets and their overrides; all have the same backbone."""
NETWORKS = {"analytic": "photo", "lite2": "photo_lite2"}
"""Presets of the same head on another backbone."""


@dataclass(frozen=True)
class Photos:
    """The images as both sides see them."""

    model: IncrementalModel
    features: NDArray[np.float32]
    described: NDArray[np.float64]
    digests: list[bytes]
    folders: list[NDArray[np.int64]]
    """Positions of each class's images."""
    seconds: float
    """Of the backbone for one image, on average."""


def read(folder: Path, preset: str = "photo") -> Photos:
    """Decode every image, take it through the preset's backbone once and describe it for the baseline."""
    config = load_preset(preset)
    model = create_model(config, SEED)
    files = [
        sorted(one for one in path.iterdir() if one.is_file()) for path in sorted(folder.iterdir()) if path.is_dir()
    ]
    images = [Image.open(path).convert("RGB") for paths in files for path in paths]
    pixels = np.stack([np.asarray(ImageOps.fit(one, (config.resize, config.resize))) for one in images])
    extractor, started = FeatureExtractor(model, config.size), time.monotonic()
    features = extractor(pixels)
    seconds = (time.monotonic() - started) / len(images)
    ends = np.cumsum([len(paths) for paths in files])
    return Photos(
        model=model,
        features=features,
        described=np.stack([describe(np.asarray(ImageOps.fit(one, (SIDE, SIDE)))) for one in images]),
        digests=[image_digest(image) for image in pixels],
        folders=np.split(np.arange(len(images)), ends[:-1]),
        seconds=seconds,
    )


def learn(
    photos: Photos, method: str, labels: NDArray[np.int64], rows: list[int], sizes: tuple[int, ...]
) -> LearnerState:
    """The state after drops of ``sizes`` classes, from the images at ``rows``; labels: (all images,)."""
    preset, overrides = METHODS[method] if method in METHODS else (NETWORKS[method], {})
    memory = FeatureMemory.empty(photos.model.feature_dim)
    ends = np.cumsum(sizes)
    for phase, end in enumerate(ends.tolist()):
        mine = [row for row in rows if end - sizes[phase] <= labels[row] < end]
        memory = memory.extended(photos.features[mine], labels[mine], phase, [photos.digests[row] for row in mine])
    count = int(ends[-1])
    names = tuple(f"class {number}" for number in range(count))
    prototypes, blank = torch.zeros(count, photos.model.feature_dim), ImageBlobs.empty()
    config = load_preset(preset, overrides)
    return with_head(
        LearnerState(photos.model, names, len(sizes) - 1, sizes, blank, prototypes, config, SEED, features=memory)
    )


def answers(state: LearnerState, features: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Probabilities (n, classes), and which images are called unknown (n,)."""
    head = state.model.head
    logits = head(torch.from_numpy(features)).logits.numpy()
    calibration = state.calibration
    assert calibration is not None  # noqa: S101  # every frozen state has one
    known = (unit_rows(features) @ state.prototypes.numpy().T).max(axis=1)
    if isinstance(head, AnalyticHead):
        concept = capped = None
        if head.concepts is not None:
            rows = torch.from_numpy(features)
            concept, cosines = head.concepts.cosines(rows).numpy().max(axis=1), head.concepts.capped_cosines(rows)
            capped = None if cosines is None else cosines.numpy().max(axis=1)
        known = known_score(known, logits.max(axis=1) * calibration.temperature, concept, capped)
    bound = calibration.known_cosine
    return softmax(logits, 1.0), known < (-1.0 if bound is None else bound)
