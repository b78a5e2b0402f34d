"""Which images a version takes along, for servers to compare their answers with (``canary.json``)."""

import base64

import numpy as np

from handlers.inference.preprocess import crop
from handlers.torchserve.canary import FILE, Canary, CanaryImage
from handlers.updater.context.version_spec import VersionSpec
from handlers.updater.release.evaluate import open_model
from handlers.updater.training.messages import STATE
from lucir_core.memory.image_blobs import ImageBlobs
from model_store.layout import EXEMPLARS, MODEL
from model_store.local_files import write_whole

IMAGES = 8
"""Enough to notice a model or a preprocessing that is not the evaluated one; asked before every swap."""


def write_canary(spec: VersionSpec, threads: int | None) -> None:
    """Write the file beside a candidate's model: images from all over those that are held out, and its answers.

    Where nothing is held out (a frozen backbone, images of the user's own) exemplars are asked for.
    """
    blobs = spec.holdout if len(spec.holdout) else ImageBlobs.load(spec.folder / STATE / EXEMPLARS)
    if not len(blobs):
        return
    picked = sorted(set(np.linspace(0, len(blobs) - 1, min(len(blobs), IMAGES)).astype(int).tolist()))
    images = np.stack([crop(blobs.decode(index), spec.preprocessing.size) for index in picked])
    (probabilities,) = open_model(spec.folder / MODEL, threads).run(["probabilities"], {"images": images})
    made = Canary(
        side=spec.preprocessing.resize,
        pictures=tuple(
            CanaryImage(
                png=base64.b64encode(blobs.pngs[index]).decode(),
                answer=blobs.classes[int(row.argmax())],
                probability=min(1.0, float(row.max())),
            )
            for index, row in zip(picked, probabilities, strict=True)
        ),
    )
    write_whole(spec.folder / FILE, made.model_dump_json(indent=2))
