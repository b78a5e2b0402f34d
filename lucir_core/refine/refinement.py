"""A state with a frozen backbone, its last stages refined, and whether that is better on images nobody learnt from.

A quarter of the images is never learnt from by any backbone. Which ones follows from their content, so that an image is
among them for good, in every later refinement too. For the comparison both backbones get a head from the other images
alone, and both answer the quarter. Leaving one image after the other out of the head, as a frozen backbone allows, says
nothing here: a backbone that was trained on an image knows it, whatever the head is made from. So the answers to the
images that were learnt from do not count in a refined state either; accuracy, calibration and the bound for unknown
images are those of the quarter, and of what is learnt later.

The head of the refined state is made from the features of all images, the quarter too.
"""

import copy
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from lucir_core.config.phase_config import PhaseConfig
from lucir_core.data.phase_data import PhaseData
from lucir_core.errors import ConfigError, DataError
from lucir_core.frozen.extraction import FeatureExtractor
from lucir_core.frozen.frozen_head import with_head
from lucir_core.memory.feature_memory import FeatureMemory
from lucir_core.memory.image_blobs import ImageBlobs, image_digest
from lucir_core.models.model import IncrementalModel
from lucir_core.refine.backbone_parts import split_backbone
from lucir_core.refine.held_back import LEAST_HELD_BACK, held_back_by
from lucir_core.refine.maps import MapMaker, spread_over_classes
from lucir_core.refine.paired import PairedDifference, compare_paired
from lucir_core.refine.tuning import tune
from lucir_core.runtime.acceleration import AUTO, accelerated
from lucir_core.runtime.device_memory import explained
from lucir_core.runtime.randomness import derived_seed
from lucir_core.state import LearnerState
from lucir_core.training.checkpoint import Checkpoint, phase_fingerprint
from lucir_core.training.phase_run import Progress

logger = logging.getLogger(__name__)

_SHARES = {"maps": (0.0, 0.3), "training": (0.3, 0.8), "features": (0.8, 1.0)}
"""Of the progress."""


@dataclass(frozen=True, eq=False)
class Refined:
    """What a refinement made."""

    state: LearnerState
    comparison: PairedDifference
    """Of the frozen and the refined backbone, on images that were never learnt from."""
    learnt_from: int
    """Images that the stages were trained on."""


def refine_state(
    config: PhaseConfig,
    data: PhaseData,
    previous: LearnerState,
    *,
    device: str = "cpu",
    seed: int = 1993,
    report: Callable[[Progress], None] = lambda _: None,
    resume: Path | None = None,
) -> Refined:
    """Refine the backbone of `previous`, which stays unchanged; `data` holds every image that it has learnt.

    resume: as in `run_phase`. Raises DataError where images are missing, look otherwise than when they were learnt, or
    are too few to tell whether anything gets better; ConfigError for a backbone that is not frozen or cannot be cut;
    DeviceMemoryError when `device` has no memory left.
    """
    started = time.monotonic()
    memory = _aligned(config, data, previous)
    seen = np.zeros(len(memory), bool) if memory.seen is None else memory.seen.copy()
    held_back = held_back_by(memory.digests, config.refine.validation_share) & ~seen
    learnable = np.flatnonzero(~held_back)
    counted = held_back & np.isin(memory.labels, memory.labels[learnable])
    if counted.sum() < LEAST_HELD_BACK:
        raise DataError(
            f"{counted.sum()} images are held back to tell whether a refined backbone is better, and at least "
            f"{LEAST_HELD_BACK} are needed: drop more images of each class"
        )
    with explained(config), accelerated(AUTO, torch.device(device)):
        model, used = _tuned(config, data, previous, learnable, device, seed, report, resume)
    features = FeatureExtractor(model, config.size)(data.images, _ticker(report, "features", len(data.images)))
    seen[used] = True
    after = memory.seen_anew(features, seen)
    comparison = compare_paired(
        _right(replace(previous, features=memory), held_back, counted),
        _right(replace(previous, features=after, model=model), held_back, counted),
    )
    state = with_head(replace(previous, model=model, features=after, config=config))
    fields = {"images": len(used), "comparison": str(comparison), "seconds": round(time.monotonic() - started, 2)}
    logger.info("backbone refined", extra=fields)
    return Refined(state, comparison, len(used))


def _aligned(config: PhaseConfig, data: PhaseData, previous: LearnerState) -> FeatureMemory:
    """The features of `previous` in the order of `data`, with the labels that the images have there."""
    memory = previous.features
    if memory is None or not config.frozen:
        raise ConfigError("a backbone that is trained anyway is not refined: choose a preset with frozen = true")
    if data.classes != previous.classes:
        raise DataError(f"the images are of other classes than the {len(previous.classes)} of the state")
    rows = memory.rows_of([image_digest(image) for image in data.images])
    strange, missing = int((rows < 0).sum()), len(memory) - len(rows)
    if strange or missing > 0:
        raise DataError(
            f"{max(missing, strange)} of {len(memory)} learnt images are gone, or are read otherwise than when they "
            "were learnt (another release of the image library?): learn everything again first"
        )
    ordered = memory.chosen(np.ones(len(memory), bool))
    return FeatureMemory(
        ordered.features[rows],
        data.labels.astype(np.int64),
        ordered.phases[rows],
        ordered.digests[rows],
        seen=None if ordered.seen is None else ordered.seen[rows],
    )


def _tuned(
    config: PhaseConfig,
    data: PhaseData,
    previous: LearnerState,
    learnable: NDArray[np.int64],
    device: str,
    seed: int,
    report: Callable[[Progress], None],
    resume: Path | None,
) -> tuple[IncrementalModel, NDArray[np.int64]]:
    """The model with its last stages trained, and the images (positions) that they were trained on."""
    model = copy.deepcopy(previous.model).eval().requires_grad_(False)
    front, last = split_backbone(model.backbone, config.refine.stages)
    seed = derived_seed(seed, "refine", previous.phase)
    make = MapMaker(model, front, config, device, seed)
    room = make.room(data.images[learnable[0]])
    used = learnable[spread_over_classes(data.labels[learnable].astype(np.int64), room)]
    views = max(1, min(config.refine.views, room // len(used)))
    labels = data.labels[used].astype(np.int64)
    maps = make(data.images[used], views, _ticker(report, "maps", views * len(used)))
    model.to("cpu")
    fingerprint = phase_fingerprint(config, data, seed, previous.model, ImageBlobs.empty(), previous.phase_sizes)
    checkpoint = Checkpoint(resume, fingerprint)
    tune(
        config,
        last,
        maps,
        labels,
        len(data.classes),
        device=device,
        seed=seed,
        report=lambda progress: report(replace(progress, ratio=_part("training", progress.ratio))),
        checkpoint=checkpoint,
    )
    checkpoint.close()
    return model, used


def _right(state: LearnerState, held_back: NDArray[np.bool_], counted: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether each of the images `counted` is answered rightly by a head that was made without those held back."""
    memory = state.features
    assert memory is not None  # noqa: S101  # `_aligned` has seen to it
    head = with_head(replace(state, features=memory.chosen(~held_back))).model.head
    with torch.no_grad():
        answers = head(torch.from_numpy(memory.features[counted])).logits.argmax(dim=1).numpy()
    right: NDArray[np.bool_] = answers == memory.labels[counted]
    return right


def _ticker(report: Callable[[Progress], None], stage: str, total: int) -> Callable[[int], None]:
    return lambda done: report(Progress(stage, done, total, {}, None, None, _part(stage, done / total)))


def _part(stage: str, ratio: float) -> float:
    low, high = _SHARES[stage]
    return low + (high - low) * ratio
