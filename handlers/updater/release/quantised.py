"""A version's network with whole numbers of eight bits, for servers that it makes faster (``model.int8.onnx``)."""

import logging
import time

import numpy as np
from numpy.typing import NDArray

from handlers.inference.preprocess import crop
from handlers.inference.sessions.copy_choice import CopyRules, MeasuredCopy
from handlers.inference.sessions.onnx_session import OnnxSession
from handlers.inference.sessions.serving_copy import choose
from handlers.parallel import usable_cores
from handlers.settings import Settings
from handlers.updater.context.version_spec import VersionSpec
from handlers.updater.training.messages import STATE
from lucir_core.memory.image_blobs import ImageBlobs
from model_store.layout import EXEMPLARS, MODEL, QUANTISED

logger = logging.getLogger(__name__)

COMPARED_IMAGES = 128
"""At most: a few seconds of the slowest network."""


def write_quantised(spec: VersionSpec, settings: Settings) -> None:
    """Write the file beside a candidate's model where it is faster here and agrees on the images held out.

    Calibrated on exemplars, on which it is compared too where nothing is held out. A version that answers for a moment
    only, before its phase is learnt, has none.
    """
    serving, path = settings.serving, spec.folder / MODEL
    if serving.copies == "off" or spec.candidate.kind == "provisional":
        return
    # Here and not above: onnx and its quantiser take half a second, which the start of an updater need not wait for.
    from lucir_core.export.quantise import can_quantise, quantise

    if not can_quantise(path):
        return
    exemplars = ImageBlobs.load(spec.folder / STATE / EXEMPLARS)
    held_out = spec.holdout if len(spec.holdout) else exemplars
    if not len(exemplars):
        return
    started = time.monotonic()
    rules = CopyRules.of(serving.copies, serving.copy_max_changes, serving.copy_max_probability_change)
    partial = spec.folder / "quantised.partial"
    threads = settings.learning.threads or usable_cores()

    def made() -> OnnxSession:
        quantise(path, partial, _some(exemplars, spec.preprocessing.size, COMPARED_IMAGES))
        return OnnxSession(partial, threads)

    images = _some(held_out, spec.preprocessing.size, COMPARED_IMAGES)
    choice, _ = choose(OnnxSession(path, threads), images, rules, {"int8": made})
    if choice.copy == "int8":
        partial.replace(spec.folder / QUANTISED)
    partial.unlink(missing_ok=True)
    logger.info(
        "version %d at eight bits: %s (%.1f s)",
        spec.number,
        f"{choice.speed:.1f} times as fast" if choice.copy == "int8" else _why_not(choice.measured[1:]),
        time.monotonic() - started,
    )


def _why_not(refused: tuple[MeasuredCopy, ...]) -> str:
    return "; ".join(each.refused for each in refused) or "not tried, it is fast as it is"


def _some(blobs: ImageBlobs, size: int, most: int) -> NDArray[np.uint8]:
    """Images from all over (n, size, size, 3), at most so many."""
    picked = sorted(set(np.linspace(0, len(blobs) - 1, min(len(blobs), most)).astype(int).tolist()))
    return np.stack([crop(blobs.decode(index), size) for index in picked])
