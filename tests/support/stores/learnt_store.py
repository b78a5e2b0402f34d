"""A store as an update leaves it: originals in the archive, a plan, exemplars; without the time that learning takes."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from handlers.bucket.seen_images import FILE as LEARNT
from handlers.bucket.seen_images import Learnt
from handlers.bucket.update_documents import Entry, Intent, Reason, Role
from handlers.bucket.updates import UpdateRecords
from lucir_core.memory.image_blobs import ImageBlobs
from model_store.documents import encode
from model_store.manifest import Accuracy, Counts, now
from model_store.objects import ObjectStore
from model_store.versions import VersionStore
from tests.support.documents import make_entry, make_evaluation, make_plan
from tests.support.stores.inspected import sha
from tools.manifests import make_manifest

CLASSES = ("zero", "one")
UPDATE = "000001"
EACH = 6


@dataclass(frozen=True)
class LearntStore:
    """``archived``: the original files by key; ``rejected``: keys below ``rejected/``."""

    versions: VersionStore
    archived: dict[str, bytes]
    rejected: tuple[str, str]


def publish_learnt(objects: ObjectStore, files: dict[int, list[bytes]], folder: Path) -> LearntStore:
    """Version 1 of the digits zero and one; ``files`` are PNG files by digit."""
    archived = {
        f"archive/{UPDATE}/{name}/{number}.png": files[digit][number]
        for digit, name in enumerate(CLASSES)
        for number in range(EACH)
    }
    refused = {
        f"rejected/{UPDATE}/zero/broken.png": ("incoming/zero/broken.png", b"not an image", "the file is not an image"),
        f"rejected/{UPDATE}/_no_class/loose.png": ("incoming/loose.png", files[2][0], "lies directly in incoming/"),
    }
    entries = [_entry(f"incoming/{_tail(key)}", data, key, "train") for key, data in archived.items()]
    for key, (origin, data, reason) in refused.items():
        entries.append(_entry(origin, data, key, "rejected", reason=reason))
        objects.write(key, data)
        note = Reason(key=origin, sha256=sha(data), size=len(data), reason=reason, update_id=UPDATE, rejected_at=now())
        objects.write(f"{key}.reason.json", encode(note))
    for key, data in archived.items():
        objects.write(key, data)
    records = UpdateRecords(objects)
    records.write(UPDATE, "intent.json", Intent(id=UPDATE, created_at=now(), folders={}))
    records.write_plan(make_plan(UPDATE, tuple(entries), classes=CLASSES, new_classes=CLASSES, resize=16))
    first, last = refused
    return LearntStore(_publish(objects, archived, folder), archived, (first, last))


def _publish(objects: ObjectStore, archived: dict[str, bytes], folder: Path) -> VersionStore:
    files = {name: folder / name for name in ("model.onnx", "evaluation.json", "exemplars.safetensors", LEARNT)}
    pixels = np.stack([np.asarray(Image.open(io.BytesIO(data)).convert("RGB")) for data in archived.values()])
    labels = np.repeat(np.arange(len(CLASSES)), EACH)
    ImageBlobs.from_arrays(pixels, labels, CLASSES).save(files["exemplars.safetensors"])
    names = [CLASSES[label] for label in labels.tolist()]
    Learnt.empty().extended([sha(data) for data in archived.values()], names, CLASSES).save(files[LEARNT])
    files["model.onnx"].write_bytes(b"model")
    evaluation = make_evaluation(
        1,
        CLASSES,
        images=20,
        cnn=Accuracy(all=0.95, old=None, new=0.95),
        class_accuracy={"zero": 1.0, "one": 0.9},
        confusion=((10, 0), (1, 9)),
    )
    files["evaluation.json"].write_text(evaluation.model_dump_json(), encoding="utf-8")
    counts = Counts(
        train=dict.fromkeys(CLASSES, EACH), holdout=dict.fromkeys(CLASSES, 0), exemplars=dict.fromkeys(CLASSES, EACH)
    )
    versions = VersionStore(objects)
    manifest = make_manifest(1, side=16, classes=CLASSES, new_classes=CLASSES, counts=counts, update_id=UPDATE)
    versions.publish(manifest, files)
    versions.point_to(1, "published")
    return versions


def _entry(key: str, data: bytes, target: str, role: Role, **values: Any) -> Entry:
    folder = _tail(target).partition("/")[0]
    named = None if folder.startswith("_") else folder
    return make_entry(key, role, size=len(data), sha256=sha(data), class_name=named, target=target, **values)


def _tail(key: str) -> str:
    """What follows the update's folder."""
    return key.split("/", 2)[2]
