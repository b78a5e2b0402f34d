"""Which copy of a version's network answers on this machine: the fastest of those that agree with the published one.

Measured with the images that travel with the version.
"""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from handlers.inference.sessions.canary_images import COMPARED
from handlers.inference.sessions.copy_choice import (
    NOT_FASTER,
    PUBLISHED,
    QUANTISED_FILE,
    Choice,
    CopyRules,
    Device,
    MeasuredCopy,
)
from handlers.inference.sessions.float16_session import Float16Session, why_no_float16
from handlers.inference.sessions.headed_session import MODEL_FILE, divided_session
from handlers.inference.sessions.onnx_session import OnnxSession, Session, on_gpu
from handlers.inference.sessions.openvino_session import Bfloat16Session, why_no_bfloat16
from handlers.inference.sessions.verified_files import VerifiedFiles

logger = logging.getLogger(__name__)

SLOW_SECONDS: Final = 0.0005
"""A network that needs less for an image is not worth a copy: a request costs as much beside it."""
GAIN: Final = 1.15
"""Times as fast as the published network a copy has to be: less is within the noise of the measurement."""
ENOUGH: Final = 2.0
"""A copy that is so many times as fast ends the search."""
RUNS: Final = 3
"""Of which the shortest counts."""
_BATCH: Final = 8


Open = Callable[[], Session]
"""Loads a copy; raises whatever its runtime raises."""
Answers = Mapping[str, NDArray[np.float32]]
"""To some images: (images, ...) of each output that is compared, by its name."""


def choose(
    published: Session, images: NDArray[np.uint8], rules: CopyRules, copies: Mapping[str, Open]
) -> tuple[Choice, Session]:
    """The fastest of ``copies`` and the published network that answers these images (n, size, size, 3) as that does.

    A copy that cannot be opened or run is refused, with the reason.
    """
    own = _timed(PUBLISHED, published, images)
    if own.batch_ms < SLOW_SECONDS * 1e3:
        return Choice(images=len(images), measured=(own,)), published
    reference = _answers(published, images)
    measured, sessions = [own], {PUBLISHED: published}
    for name, open_copy in copies.items():
        try:
            session = sessions[name] = open_copy()
            found = _compared(reference, _answers(session, images), rules, _timed(name, session, images))
        except Exception as error:
            logger.warning("the copy %s cannot be used", name, exc_info=error)
            found = MeasuredCopy(name, refused=(str(error) or type(error).__name__).splitlines()[0][:300])
        if not found.refused and own.cost < GAIN * found.cost:
            found = replace(found, refused=NOT_FASTER)
        measured.append(found)
        if not found.refused and own.cost >= ENOUGH * found.cost:
            break  # each further one costs memory and, while others wait for the version, time
    best = min((each for each in measured if not each.refused), key=lambda each: each.cost)
    choice = Choice(best.name, round(own.cost / best.cost, 2), len(images), tuple(measured))
    return choice, sessions[best.name]


def compare(
    reference: Answers, images: NDArray[np.uint8], rules: CopyRules, copy: Session, chosen: Choice
) -> Choice | None:
    """``chosen`` of a network that is as fast, where this one's ``copy`` agrees with its ``reference`` as well; None
    where not.
    """
    measured = next(each for each in chosen.measured if each.name == chosen.copy)
    found = _compared(reference, _answers(copy, images), rules, measured)
    if found.refused:
        return None
    rest = tuple(each for each in chosen.measured if each.name == PUBLISHED)
    return replace(chosen, images=len(images), measured=(*rest, found))


def copies_of(files: VerifiedFiles, device: Device, wanted: str | None = None) -> dict[str, Open]:
    """By name, the copies of a version that may be had on this machine: on a CUDA device, or on the processor.

    ``wanted``: no other is looked for, so that OpenVINO is not imported where it is not what answers.
    """
    found: dict[str, Open] = {}
    threads, gpu = device.threads, device.gpu
    if gpu is not None:
        if reason := why_no_float16():
            logger.debug("no copy in half precision: %s", reason)
        elif wanted in (None, "fp16"):
            found["fp16"] = lambda: Float16Session(files.verified(MODEL_FILE), threads, gpu)
        return found
    if wanted in (None, "int8") and files.has(QUANTISED_FILE):
        found["int8"] = lambda: OnnxSession(files.verified(QUANTISED_FILE), threads)
    if wanted in (None, "bf16"):
        if reason := why_no_bfloat16():
            logger.debug("no copy in bfloat16: %s", reason)
        else:
            found["bf16"] = lambda: divided_session(
                files, "bf16", threads, lambda: Bfloat16Session(files.verified(MODEL_FILE), threads)
            )
    return found


def _answers(session: Session, images: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
    names = [name for name in COMPARED if name in session.outputs]
    batches = [session.run(names, {"images": images[at : at + _BATCH]}) for at in range(0, len(images), _BATCH)]
    return {name: np.concatenate(parts) for name, parts in zip(names, zip(*batches, strict=True), strict=True)}


def _timed(name: str, session: Session, images: NDArray[np.uint8]) -> MeasuredCopy:
    """The shortest of some runs: other load of the machine only ever makes one longer.

    Other processes lengthen the time, other threads of this one its processor time: the shorter of both counts. On a
    graphics card the processor only waits.
    """
    waits = on_gpu(session)

    def shortest(batch: NDArray[np.uint8]) -> float:
        took = []
        for _ in range(RUNS):
            started, busy = time.perf_counter(), time.process_time()
            session.run(["probabilities"], {"images": batch})
            elapsed = time.perf_counter() - started
            took.append(elapsed if waits else min(elapsed, time.process_time() - busy))
        return min(took) * 1e3 / len(batch)

    return MeasuredCopy(name, round(shortest(images[:1]), 3), round(shortest(images[:_BATCH]), 3))


def _compared(reference: Answers, answers: Answers, rules: CopyRules, timed: MeasuredCopy) -> MeasuredCopy:
    for name, wanted in reference.items():
        found = answers[name].shape if name in answers else "none"
        if found != wanted.shape:
            return replace(timed, refused=f"{name} are {found} where {wanted.shape} were evaluated")
    best, given = reference["probabilities"].argmax(axis=1), answers["probabilities"].argmax(axis=1)
    changes = int((best != given).sum())
    change = max(float(np.abs(reference[name] - answers[name]).max()) for name in reference)
    refused = ""
    if changes > rules.most_changes * len(best):
        refused = f"{changes} of {len(best)} images have another best class"
    elif not change <= rules.most_change:  # NaN is refused too
        refused = f"an output differs by {change:.3f}, at most {rules.most_change:g} is allowed"
    return replace(timed, changes=changes, change=round(change, 5), refused=refused)
