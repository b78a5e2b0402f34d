"""One incremental phase from end to end: the previous state and new images in, the next state out."""

import logging
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lucir_core.config.phase_config import PhaseConfig
from lucir_core.data.image_source import EncodedImages
from lucir_core.data.phase_data import ImageSet, PhaseData
from lucir_core.errors import ConfigError, DataError, DivergedError, StateError
from lucir_core.frozen.frozen_phase import learn_frozen
from lucir_core.memory.exemplars import exemplars_per_class
from lucir_core.memory.image_blobs import ImageBlobs, encode_image
from lucir_core.memory.prototypes import class_prototypes
from lucir_core.memory.transport import blended, transported
from lucir_core.methods import IncrementalMethod, create_method
from lucir_core.models.features import extract_features
from lucir_core.models.global_norm import share_statistics
from lucir_core.models.heads import LinearHead
from lucir_core.models.model import place, teacher_of
from lucir_core.runtime.acceleration import AUTO, Acceleration, accelerated
from lucir_core.runtime.device_memory import explained
from lucir_core.runtime.devices import usable_device
from lucir_core.runtime.distributed import agree_on, world
from lucir_core.runtime.randomness import derived_seed, whole_seed
from lucir_core.state import LearnerState
from lucir_core.training.checkpoint import Checkpoint, phase_fingerprint
from lucir_core.training.phase_run import PhaseRun, Progress

__all__ = ["PhaseData", "Progress", "run_phase"]

logger = logging.getLogger(__name__)


def run_phase(
    config: PhaseConfig,
    data: PhaseData,
    previous: LearnerState | None,
    *,
    device: str = "cpu",
    seed: int = 1993,
    report: Callable[[Progress], None] = lambda _: None,
    resume: Path | str | None = None,
    acceleration: Acceleration = AUTO,
    counts_flops: bool = False,
) -> LearnerState:
    """Learn one phase with the method that `config` names; `previous` is None for phase 0 and stays unchanged.

    Exemplars of `previous` join the images here. Images of known classes are allowed, with or without new classes:
    the exemplars of those classes are chosen again from old exemplars and new images. A phase 0 with one class, one
    new class, a class of one image, and fewer images than exemplars (then all are kept) are all allowed.

    resume: a file that progress is kept in; a call with the same arguments after a kill continues from it, and on a
    CPU (with the same number of threads) ends with bit-identical weights. It is removed at the end.
    acceleration: what is computed in a faster way; the same up to rounding.
    counts_flops: count the floating-point operations of each stage, for the reports.

    Inside `lucir_core.runtime.distributed.processes` every process makes the same call and gets the same state.

    Raises DataError, ConfigError or StateError where the arguments do not fit together, DivergedError when the loss
    or what was learnt becomes NaN or infinite, DeviceMemoryError when `device` has no memory left. Only `device` memory
    and `resume` are written to.
    """
    seed = whole_seed(seed)
    if config.frozen:
        check_fits(config, data, previous)
        return learn_frozen(config, data, previous, seed=seed, report=report)
    started = time.monotonic()
    method = create_method(config.method)
    _check(config, data, previous, method)
    phase = 0 if previous is None else previous.phase + 1
    kept = None if resume is None else Path(resume)
    with explained(config), accelerated(acceleration, usable_device(device)):
        run = _begin(config, data, previous, method, device, derived_seed(seed, "phase", phase), kept, acceleration)
        run.report, run.counts_flops = report, counts_flops
        method.learn(run)
        if config.align_weights and isinstance(run.model.head, LinearHead):
            run.model.head.align()
        state = _finish(run, data, previous, seed)
    run.checkpoint.close()
    fields = {"phase": phase, "classes": len(data.classes), "seconds": round(time.monotonic() - started, 2)}
    logger.info("phase learnt", extra=fields)
    return state


def _check(config: PhaseConfig, data: PhaseData, previous: LearnerState | None, method: IncrementalMethod) -> None:
    check_fits(config, data, previous)
    if len(data.images) < 2 and previous is None:
        raise DataError("phase 0 needs at least two images: it was given one")
    known = len(previous.classes) if previous is not None and not method.needs_every_image else 0
    data.require_images(range(known, len(data.classes)))
    # Raises where the memory is too small, before anything is trained.
    exemplars_per_class(config, len(data.classes))


def check_fits(config: PhaseConfig, data: PhaseData, previous: LearnerState | None) -> None:
    """Raise DataError for images of another size, StateError or ConfigError where `previous` is not continued."""
    if data.images.shape[1:3] != (config.resize, config.resize):
        height, width = data.images.shape[1:3]
        raise DataError(f"images are {width}x{height}, resize = {config.resize} asks for {config.resize} square")
    if previous is None:
        return
    known, learnt = previous.classes, previous.config
    if data.classes[: len(known)] != known:
        raise StateError(
            f"the phase's class list must begin with the {len(known)} known classes in their order: {list(known)[:10]}"
        )
    for name in ("method", "network", "frozen", "head", "last_relu", "size", "resize", "normalisation"):
        now, before = getattr(config, name), getattr(learnt, name)
        if now != before:
            raise ConfigError(
                f"{name} is {now!r}, but the previous phases were learnt with {before!r}: keep it, or start at phase 0"
            )


def _begin(
    config: PhaseConfig,
    data: PhaseData,
    previous: LearnerState | None,
    method: IncrementalMethod,
    device: str,
    seed: int,
    resume: Path | None,
    acceleration: Acceleration,
) -> PhaseRun:
    old_count = len(previous.classes) if previous is not None else 0
    new_count = len(data.classes) - old_count
    before = previous.model if previous is not None else None
    model = method.start(config, before, old_count, new_count, seed)
    # A method that is given every image is given the exemplars' too: herding must not see them twice.
    replayed = None if method.needs_every_image else previous
    exemplars = ImageBlobs.empty(data.classes) if replayed is None else replayed.exemplars
    phase_sizes = previous.phase_sizes if previous is not None else ()
    fingerprint = phase_fingerprint(config, data, seed, before, exemplars, phase_sizes)
    labels = np.concatenate([data.labels.astype(np.int64), exemplars.labels])
    kept = EncodedImages(exemplars, config.resize)
    images = ImageSet([data.images, kept], [labels], torch.device(device))
    share_statistics(model, on=world().size > 1)
    return PhaseRun(
        config=config,
        model=place(model, device, acceleration),
        teacher=None if before is None else teacher_of(before, device, acceleration),
        images=images,
        labels=labels,
        kept=np.arange(len(labels)) >= len(data.labels),
        old_count=old_count,
        new_count=new_count,
        phase_sizes=phase_sizes,
        seed=seed,
        checkpoint=Checkpoint(resume, fingerprint),
        report=lambda _: None,
        acceleration=acceleration,
    )


def _finish(run: PhaseRun, data: PhaseData, previous: LearnerState | None, seed: int) -> LearnerState:
    """Exemplars, prototypes, and the model back on the CPU. Raises DivergedError where they are no numbers any more."""
    # The loss of an epoch was computed before its last step.
    _check_finite("weights", *(each for each in run.model.state_dict().values() if each.is_floating_point()))
    config, chosen = run.config, run.exemplars()
    positions, labels = torch.from_numpy(chosen), run.labels[chosen]
    flips = ["none"] if config.nme_flip == "none" else ["none", config.nme_flip]
    views = [extract_features(run.model, run.images, positions, config.size, flip) for flip in flips]
    prototypes = class_prototypes(views, labels, len(data.classes))
    if config.nme_transport:
        prototypes = blended(prototypes, _carried(run, previous, len(data.classes)), config.nme_transport)
    _check_finite("prototypes", prototypes)
    exemplars = _encoded(chosen, labels, data, previous)
    agree_on(run.model)
    share_statistics(run.model, on=False)
    model = run.model.to("cpu", memory_format=torch.contiguous_format)  # type: ignore[call-overload]  # as in place()
    return LearnerState(
        model=model.eval().requires_grad_(False),
        classes=data.classes,
        phase=0 if previous is None else previous.phase + 1,
        phase_sizes=(*(previous.phase_sizes if previous is not None else ()), run.new_count),
        exemplars=exemplars,
        prototypes=prototypes,
        config=config,
        seed=seed,
        lambda_=run.lambda_,
    )


def _check_finite(what: str, *values: Tensor) -> None:
    if not all(bool(value.isfinite().all()) for value in values):
        raise DivergedError(f"training diverged: the {what} are NaN or infinite; lower lr and learn the phase again")


def _carried(run: PhaseRun, previous: LearnerState | None, class_count: int) -> Tensor:
    """(classes, dim): new classes by the mean of all their images, known ones carried over from the phase before."""
    everything = torch.arange(len(run.labels))
    after = extract_features(run.model, run.images, everything, run.config.size)
    means = class_prototypes([after], run.labels, class_count)
    if previous is None or run.teacher is None:
        return means
    before = extract_features(run.teacher, run.images, everything, run.config.size)
    return torch.cat([transported(previous.prototypes, before, after), means[len(previous.classes) :]])


def _encoded(chosen: np.ndarray, labels: np.ndarray, data: PhaseData, previous: LearnerState | None) -> ImageBlobs:
    """The chosen images: those that were exemplars before as they were encoded, others encoded one by one."""
    given = len(data.images)
    old = previous.exemplars.pngs if previous is not None else ()
    pngs = [old[i - given] if i >= given else encode_image(data.images[i]) for i in chosen.tolist()]
    return ImageBlobs(tuple(pngs), labels.astype(np.int64), data.classes)
