"""A store whose version 1 knows many classes by made features: as large as a learnt one, made in a minute."""

import dataclasses
import hashlib
from pathlib import Path

import numpy as np
import torch
import yaml
from PIL import Image

from handlers.bucket.seen_images import Learnt
from handlers.updater.release.evaluate import FIRST, summarise
from handlers.updater.release.left_out import left_out
from lucir_core import LearnerState, load_preset, save_state
from lucir_core.export.onnx_export import export_onnx
from lucir_core.frozen.frozen_head import with_head
from lucir_core.frozen.frozen_phase import images_per_class
from lucir_core.memory.feature_memory import FeatureMemory
from lucir_core.memory.image_blobs import ImageBlobs, image_digest
from lucir_core.models.model import create_model
from model_store.directory.directory_store import DirectoryStore
from model_store.layout import CONFIG, EVALUATION, FEATURES, FILES, HEAD, HOLDOUT, MODEL, SEEN_IMAGES
from model_store.manifest import Calibration, Counts, Gate
from model_store.versions import VersionStore
from tools.manifests import make_manifest

SEED = 1993
SPREAD = 0.7
"""Of the images of a class around its centre: neighbouring classes overlap a little, as those of photographs do."""


def made_image(generator: np.random.Generator, side: int) -> np.ndarray:
    """(side, side, 3) uint8: colours that change smoothly, and some grain: as many bytes as PNG as a photograph."""
    coarse = Image.fromarray(generator.integers(0, 256, (7, 7, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((side, side), Image.Resampling.BICUBIC)).astype(np.int16)
    grain = generator.integers(-6, 7, smooth.shape)
    return (smooth + grain).clip(0, 255).astype(np.uint8)


def made_state(classes: int, each: int) -> LearnerState:
    """A state of the preset `photo` that knows ``classes`` classes by ``each`` made features."""
    config = load_preset("photo")
    generator, model = np.random.default_rng(SEED), create_model(config, SEED)
    labels = np.repeat(np.arange(classes), each)
    centres = np.abs(generator.normal(size=(classes, model.feature_dim)).astype(np.float32))
    features = np.abs(
        centres[labels] + SPREAD * generator.normal(size=(len(labels), model.feature_dim)).astype(np.float32)
    )
    kept = min(each, images_per_class(config, classes))
    images = [made_image(generator, config.resize) for _ in range(classes * kept)]
    digests = [generator.bytes(16) for _ in labels]
    for place, image in enumerate(images):
        digests[place // kept * each + place % kept] = image_digest(image)
    names = tuple(f"class {number:04d}" for number in range(classes))
    exemplars = ImageBlobs.from_arrays(np.stack(images), np.repeat(np.arange(classes), kept), names)
    memory = FeatureMemory.empty(model.feature_dim).extended(features, labels, 0, digests)
    prototypes = torch.zeros(classes, model.feature_dim)
    return with_head(LearnerState(model, names, 0, (classes,), exemplars, prototypes, config, SEED, features=memory))


def publish(state: LearnerState, root: Path, work: Path) -> None:
    """Version 1 of a new store in the folder ``root``; its files are made in ``work``."""
    work.mkdir(parents=True)
    save_state(state, work)
    export_onnx(state, work / MODEL, work / HEAD)
    ImageBlobs.empty(state.classes).save(work / HOLDOUT)
    memory = state.features
    assert memory is not None  # noqa: S101  # made above
    assert state.calibration is not None  # noqa: S101  # ``with_head`` made it
    names = [state.classes[label] for label in memory.labels.tolist()]
    hashes = [hashlib.sha256(digest.tobytes()).hexdigest() for digest in memory.digests]
    digests = dict(zip(hashes, (digest.tobytes() for digest in memory.digests), strict=True))
    Learnt.empty().extended(hashes, names, state.classes, digests).save(work / SEEN_IMAGES)
    evaluation = summarise(1, state.classes, left_out(work / FEATURES, ()), FIRST, Gate(passed=True))
    (work / EVALUATION).write_text(evaluation.model_dump_json(), encoding="utf-8")
    (work / CONFIG).write_text(yaml.safe_dump(state.config.to_dict(), sort_keys=False), encoding="utf-8")
    counts, kept = len(memory) // len(state.classes), len(state.exemplars) // len(state.classes)
    manifest = make_manifest(
        1,
        side=state.config.size,
        classes=state.classes,
        new_classes=state.classes,
        method=state.config.method,
        config=state.config.to_dict(),
        calibration=Calibration(**dataclasses.asdict(state.calibration)),
        counts=Counts(
            train=dict.fromkeys(state.classes, counts),
            holdout=dict.fromkeys(state.classes, 0),
            exemplars=dict.fromkeys(state.classes, kept),
        ),
    )
    versions = VersionStore(DirectoryStore(root))
    versions.publish(manifest, {name: work / name for name in FILES if (work / name).exists()})
    versions.point_to(1, "made")
