"""One incremental phase from end to end: the previous state and new images in, the next state out."""

import logging
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from lucir_core.blobs import ImageBlobs
from lucir_core.config import PhaseConfig
from lucir_core.data import ImageSet, PhaseData
from lucir_core.errors import ConfigError, DataError, StateError
from lucir_core.features import extract_features
from lucir_core.heads import LinearHead
from lucir_core.memory import exemplars_per_class
from lucir_core.methods import IncrementalMethod, create_method
from lucir_core.model import frozen_copy, place
from lucir_core.phase_run import PhaseRun, Progress
from lucir_core.prototypes import class_prototypes
from lucir_core.randomness import derived_seed
from lucir_core.resume import Journal, phase_fingerprint
from lucir_core.state import LearnerState

__all__ = ["PhaseData", "Progress", "run_phase"]

logger = logging.getLogger(__name__)


def ignore_progress(progress: Progress) -> None:
    """The default of `report`."""


def run_phase(
    config: PhaseConfig,
    data: PhaseData,
    previous: LearnerState | None,
    *,
    device: str = "cpu",
    seed: int = 1993,
    report: Callable[[Progress], None] = ignore_progress,
    resume: Path | None = None,
) -> LearnerState:
    """Learn one phase with the method that `config` names; `previous` is None for phase 0 and stays unchanged.

    Exemplars of `previous` join the images here. Images of known classes are allowed, with or without new classes:
    the exemplars of those classes are chosen anew from old exemplars and new images. A phase 0 with one class, one
    new class, a class of one image, and fewer images than exemplars (then all are kept) are all allowed.

    resume: a file that progress is kept in; a call with the same arguments after a kill continues from it, and on a
    CPU (with the same number of threads) ends with bit-identical weights. It is removed at the end.

    Raises DataError, ConfigError or StateError where the arguments do not fit together, DivergedError when the loss
    becomes NaN or infinite. Only `device` memory and `resume` are written to.
    """
    started = time.monotonic()
    method = create_method(config.method)
    _check(config, data, previous, method)
    phase = 0 if previous is None else previous.phase + 1
    run = _begin(config, data, previous, method, device, derived_seed(seed, "phase", phase), resume)
    run.report = report
    method.learn(run)
    if config.align_weights and isinstance(run.model.head, LinearHead):
        run.model.head.align()
    state = _finish(run, data, previous, seed)
    run.journal.close()
    fields = {"phase": phase, "classes": len(data.classes), "seconds": round(time.monotonic() - started, 2)}
    logger.info("phase learnt", extra=fields)
    return state


def _check(config: PhaseConfig, data: PhaseData, previous: LearnerState | None, method: IncrementalMethod) -> None:
    if data.images.shape[1:3] != (config.resize, config.resize):
        height, width = data.images.shape[1:3]
        raise DataError(f"images are {width}x{height}, resize = {config.resize} asks for {config.resize} square")
    if len(data.images) < 2 and previous is None:
        raise DataError("phase 0 needs at least two images: it was given one")
    known = previous.classes if previous is not None else ()
    if data.classes[: len(known)] != known:
        raise StateError(
            f"the phase's class list must begin with the {len(known)} known classes in their order: {list(known)[:10]}"
        )
    counts = np.bincount(data.labels, minlength=len(data.classes))
    needed = range(len(data.classes)) if method.needs_every_image else range(len(known), len(data.classes))
    missing = [data.classes[label] for label in needed if counts[label] == 0]
    if missing:
        raise DataError(f"class {missing[0]!r} has no image: give at least one or leave the class out")
    # Raises where the memory is too small, before anything is trained.
    exemplars_per_class(config, len(data.classes))
    if previous is not None:
        _check_same(config, previous.config)


def _check_same(config: PhaseConfig, learnt: PhaseConfig) -> None:
    for name in ("method", "network", "head", "last_relu", "size", "resize", "normalisation"):
        now, before = getattr(config, name), getattr(learnt, name)
        if now != before:
            raise ConfigError(
                f"{name} is {now!r}, but the previous phases were learnt with {before!r}: keep it, or begin anew"
            )


def _begin(
    config: PhaseConfig,
    data: PhaseData,
    previous: LearnerState | None,
    method: IncrementalMethod,
    device: str,
    seed: int,
    resume: Path | None,
) -> PhaseRun:
    old_count = len(previous.classes) if previous is not None else 0
    new_count = len(data.classes) - old_count
    before = previous.model if previous is not None else None
    fingerprint = phase_fingerprint(config, data, seed, before, old_count)
    model = method.start(config, before, old_count, new_count, seed)
    exemplars = previous.exemplars if previous is not None else ImageBlobs.empty(data.classes)
    labels = np.concatenate([data.labels.astype(np.int64), exemplars.labels])
    images = ImageSet([data.images, exemplars.decode_all(config.resize)], [labels], torch.device(device))
    return PhaseRun(
        config=config,
        model=place(model, device),
        teacher=None if before is None else place(frozen_copy(before), device),
        images=images,
        labels=labels,
        kept=np.arange(len(labels)) >= len(data.labels),
        old_count=old_count,
        new_count=new_count,
        phase_sizes=previous.phase_sizes if previous is not None else (),
        seed=seed,
        journal=Journal(resume, fingerprint),
        report=ignore_progress,
    )


def _finish(run: PhaseRun, data: PhaseData, previous: LearnerState | None, seed: int) -> LearnerState:
    """Exemplars, prototypes, and the model back on the CPU."""
    config, chosen = run.config, run.exemplars()
    positions, labels = torch.from_numpy(chosen), run.labels[chosen]
    flips = ["none"] if config.nme_flip == "none" else ["none", config.nme_flip]
    views = [extract_features(run.model, run.images, positions, config.size, flip) for flip in flips]
    exemplars = ImageBlobs.from_arrays(run.images.numpy(chosen), labels, data.classes)
    model = run.model.to("cpu", memory_format=torch.contiguous_format)  # type: ignore[call-overload]  # as in place()
    return LearnerState(
        model=model.eval().requires_grad_(False),
        classes=data.classes,
        phase=0 if previous is None else previous.phase + 1,
        phase_sizes=(*(previous.phase_sizes if previous is not None else ()), run.new_count),
        exemplars=exemplars,
        prototypes=class_prototypes(views, labels, len(data.classes)),
        config=config,
        seed=seed,
        lambda_=run.lambda_,
    )
