"""Which held-out pictures a version takes along, for servers to compare their answers with (``canary.json``)."""

import base64
from pathlib import Path

import numpy as np

from handlers.inference.preprocess import crop
from handlers.torchserve.canary import FILE, Canary, CanaryPicture
from handlers.updater.context.candidate import Draft
from handlers.updater.context.update import Update
from handlers.updater.release.evaluate import open_model
from handlers.updater.training.messages import STATE
from lucir_core.memory.image_blobs import ImageBlobs
from model_store.layout import EXEMPLARS, HOLDOUT, MODEL

PICTURES = 8
"""Enough to notice a model or a preprocessing that is not the evaluated one; asked before every swap."""


def write_canary(update: Update, draft: Draft) -> None:
    """Write the file beside a draft's model; without held-out pictures there is none."""
    blobs = ImageBlobs.load(update.folder / HOLDOUT)
    if update.services.config.frozen:  # nothing is held out
        blobs = ImageBlobs.load(draft.folder / STATE / EXEMPLARS)
    if not len(blobs):
        return
    config, threads = update.services.config, update.services.settings.learning.threads
    made = make_canary(blobs, draft.folder / MODEL, config.size, config.resize, threads)
    partial = draft.folder / "canary.partial"
    partial.write_text(made.model_dump_json(indent=2), encoding="utf-8")
    partial.replace(draft.folder / FILE)


def make_canary(blobs: ImageBlobs, model: Path, size: int, side: int, threads: int | None) -> Canary:
    """Pictures from all over ``blobs``, and what ``model`` answers; their sides are ``side`` pixels, the model's
    ``size``."""
    picked = sorted(set(np.linspace(0, len(blobs) - 1, min(len(blobs), PICTURES)).astype(int).tolist()))
    images = np.stack([crop(blobs.decode(index), size) for index in picked])
    (probabilities,) = open_model(model, threads).run(["probabilities"], {"images": images})
    return Canary(
        side=side,
        pictures=tuple(
            CanaryPicture(
                png=base64.b64encode(blobs.pngs[index]).decode(),
                answer=blobs.classes[int(row.argmax())],
                probability=min(1.0, float(row.max())),
            )
            for index, row in zip(picked, probabilities, strict=True)
        ),
    )
