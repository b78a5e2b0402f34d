"""Which images a version takes along, for servers to compare their answers with (``canary.json``)."""

import base64
from collections.abc import Sequence

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from handlers.inference.preprocess import crop
from handlers.inference.sessions.canary_images import COMPARED
from handlers.torchserve.canary import FILE, Canary, CanaryImage
from handlers.updater.context.version_spec import VersionSpec
from handlers.updater.release.evaluate import open_model
from handlers.updater.training.messages import STATE
from lucir_core.memory.image_blobs import ImageBlobs
from model_store.layout import EXEMPLARS, MODEL
from model_store.local_files import write_whole

IMAGES = 8
"""Enough to notice a model or a preprocessing that is not the evaluated one; asked before every swap."""
DIGITS = 6
"""Of an output, after the point."""


def write_canary(spec: VersionSpec, threads: int | None) -> None:
    """Write the file beside a candidate's model: images from all over those that are held out, and its answers.

    Where nothing is held out (a frozen backbone, images of the user's own) exemplars are asked for.
    """
    blobs = spec.holdout if len(spec.holdout) else ImageBlobs.load(spec.folder / STATE / EXEMPLARS)
    if not len(blobs):
        return
    picked = sorted(set(np.linspace(0, len(blobs) - 1, min(len(blobs), IMAGES)).astype(int).tolist()))
    images = np.stack([crop(blobs.decode(index), spec.preprocessing.size) for index in picked])
    session = open_model(spec.folder / MODEL, threads)
    pngs = [blobs.pngs[index] for index in picked]
    made = made_canary(session, images, pngs, blobs.classes, spec.preprocessing.resize)
    write_whole(spec.folder / FILE, made.model_dump_json(indent=2))


def made_canary(
    session: onnxruntime.InferenceSession,
    images: NDArray[np.uint8],
    pngs: Sequence[bytes],
    classes: Sequence[str],
    side: int,
) -> Canary:
    """What a network answers to ``images`` (n, size, size, 3), which are the centres of ``pngs``, ``side`` wide."""
    names = [output.name for output in session.get_outputs() if output.name in COMPARED]
    outputs = dict(zip(names, session.run(names, {"images": images}), strict=True))
    return Canary(
        side=side,
        pictures=tuple(
            CanaryImage(
                png=base64.b64encode(png).decode(),
                answer=classes[int(row.argmax())],
                probability=min(1.0, float(row.max())),
                outputs={
                    name: tuple(round(float(value), DIGITS) for value in values[place])
                    for name, values in outputs.items()
                },
            )
            for place, (png, row) in enumerate(zip(pngs, outputs["probabilities"], strict=True))
        ),
    )
