"""A phase on a frozen backbone: features of the new images, then the head for all classes from all stored features."""

import logging
import time
from collections.abc import Callable

import numpy as np
import torch

from lucir_core.config.phase_config import PhaseConfig
from lucir_core.config.validation import require_replay
from lucir_core.data.phase_data import PhaseData
from lucir_core.frozen.extraction import FeatureExtractor
from lucir_core.frozen.frozen_head import with_head
from lucir_core.memory.exemplars import exemplars_per_class
from lucir_core.memory.feature_memory import FeatureMemory
from lucir_core.memory.herding import herd
from lucir_core.memory.image_blobs import ImageBlobs, encode_image, image_digest
from lucir_core.models.model import create_model
from lucir_core.state import LearnerState
from lucir_core.training.phase_run import Progress

logger = logging.getLogger(__name__)

MOST_IMAGES = 2000
"""Exemplars of all classes together: 170 MB. Every version is read, written and stored with them, and nothing is learnt
from them: it is from the features."""


def learn_frozen(
    config: PhaseConfig,
    data: PhaseData,
    previous: LearnerState | None,
    *,
    seed: int,
    report: Callable[[Progress], None],
) -> LearnerState:
    """What `run_phase` does when `config.frozen`; `previous` stays unchanged and `data` is as there.

    The images pass the backbone once. Nothing here is random; with the method `analytic` nothing depends on how the
    classes were divided into phases either. Raises DataError for a new class without an image, ConfigError where the
    head learns from exemplars that `replay` forbids.
    """
    started = time.monotonic()
    if config.method == "lucir" and config.cbf.enabled:
        require_replay(config.replay, "the balanced fine-tune (cbf.enabled)")
    # The state before has it in eval mode, and nothing changes it here: the head will be put on a copy.
    model = previous.model if previous is not None else create_model(config, seed).eval().requires_grad_(False)
    old = previous.classes if previous is not None else ()
    data.require_images(range(len(old), len(data.classes)))

    def tick(done: int) -> None:
        report(Progress("features", done, len(data.images), {}, None, None, 0.9 * done / len(data.images)))

    features = FeatureExtractor(model, config.size)(data.images, tick)
    digests = [image_digest(image) for image in data.images]
    phase = 0 if previous is None else previous.phase + 1
    kept = previous.features if previous is not None else None
    memory = kept if kept is not None else FeatureMemory.empty(model.feature_dim)
    memory = memory.extended(features, data.labels.astype(np.int64), phase, digests)
    exemplars = previous.exemplars if previous is not None else ImageBlobs.empty()
    sizes = (*(previous.phase_sizes if previous is not None else ()), len(data.classes) - len(old))
    state = with_head(
        LearnerState(
            model=model,
            classes=data.classes,
            phase=phase,
            phase_sizes=sizes,
            exemplars=_exemplars(config, data, digests, exemplars, memory),
            prototypes=torch.zeros(len(data.classes), model.feature_dim),
            config=config,
            seed=seed,
            features=memory,
        ),
        before=previous,
    )
    fields = {"phase": phase, "classes": len(data.classes), "seconds": round(time.monotonic() - started, 2)}
    logger.info("phase learnt", extra=fields)
    return state


def images_per_class(config: PhaseConfig, class_count: int) -> int:
    """Images that are kept of each class to look at: fewer where there are very many classes, never none."""
    return min(exemplars_per_class(config, class_count), max(1, MOST_IMAGES // class_count))


def _exemplars(
    config: PhaseConfig, data: PhaseData, digests: list[bytes], old: ImageBlobs, memory: FeatureMemory
) -> ImageBlobs:
    """Images to look at, not to learn from: the ones nearest to their class's mean, herded from old and new ones."""
    budget = images_per_class(config, len(data.classes))
    touched = sorted(set(data.labels.tolist()))
    # Only of these: to decode the exemplars of a thousand classes takes longer than all else.
    again = np.flatnonzero(np.isin(old.labels, touched))
    old_rows = np.full(len(old), -1, np.int64)
    old_rows[again] = memory.rows_of([image_digest(old.decode(index)) for index in again.tolist()])
    new_rows = memory.rows_of(digests)
    pngs: list[bytes] = []
    labels: list[int] = []
    for label in range(len(data.classes)):
        before = old.indices_of(label)
        fresh = np.flatnonzero(data.labels == label)
        order: list[int] = list(range(len(before)))[:budget]
        if label in touched:
            rows = np.concatenate([old_rows[before], new_rows[fresh]])
            order = herd(memory.features[rows], budget).tolist()
        for position in order:
            known = position < len(before)
            pngs.append(
                old.pngs[before[position]] if known else encode_image(data.images[fresh[position - len(before)]])
            )
        labels += [label] * len(order)
    return ImageBlobs(tuple(pngs), np.array(labels, np.int64), data.classes)
