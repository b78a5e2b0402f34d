"""The arrays of an update in a process that did not make its plan: from the decoded images, else from the originals."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from handlers.bucket.layout import INCOMING
from handlers.bucket.update_documents import Intent
from handlers.updater.context.decoded_images import DECODED, INDEX, DecodedIndex
from handlers.updater.context.update import Services, Update
from handlers.updater.errors import StopRequestedError
from handlers.updater.intake.listing import scan
from handlers.updater.intake.selection import select
from handlers.updater.training.arrays import LABELS, TRAIN
from handlers.updater.workflow.learn_steps import ingest, prepare
from lucir_core.memory.image_blobs import ImageBlobs
from model_store.layout import HOLDOUT
from tests.handlers.conftest import Drop
from tests.support.stores.counting_store import CountingStore


@pytest.fixture
def counting(root: Path) -> CountingStore:
    return CountingStore(root, INCOMING)


@pytest.fixture
def intent(services: Services, counting: CountingStore, drop: Drop) -> Intent:
    """Two classes of ten images have been taken up and planned, by a process that has ended then."""
    drop("zero", 0, 10)
    drop("one", 1, 10)
    services.objects = counting
    intent = services.records.begin(select(list(scan(counting).values()), 10_000, first=True))
    ingest(Update(services, intent))
    assert len(counting.read_keys) == 20
    counting.read_keys.clear()
    return intent


def prepared(services: Services, intent: Intent) -> tuple[np.ndarray, np.ndarray, ImageBlobs]:
    """What another process prepares: training images, their labels, what is held out."""
    update = Update(replace(services), intent)
    prepare(update)
    assert not (update.folder / DECODED).exists()
    assert not (update.folder / INDEX).exists()
    return np.load(update.folder / TRAIN), np.load(update.folder / LABELS), ImageBlobs.load(update.folder / HOLDOUT)


def test_after_a_restart_no_original_is_read_again(services: Services, counting: CountingStore, intent: Intent) -> None:
    train, labels, held = prepared(services, intent)
    assert counting.read_keys == []
    assert (len(train), len(labels), len(held)) == (16, 16, 4)
    assert all(image.any() for image in train)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:200])


def change_rows(path: Path, **changes: object) -> None:
    """Every row of the index says something else."""
    index = DecodedIndex.model_validate_json(path.read_bytes())
    rows = {key: row.model_copy(update=changes) for key, row in index.rows.items()}
    path.write_text(index.model_copy(update={"rows": rows}).model_dump_json(), encoding="utf-8")


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / INDEX).unlink(),
        lambda folder: (folder / DECODED).unlink(),
        lambda folder: cut(folder / INDEX),
        lambda folder: cut(folder / DECODED),
        lambda folder: (folder / DECODED).write_bytes(b""),
        lambda folder: np.save(folder / DECODED, np.zeros((20, 3, 3, 3), np.uint8)),
        lambda folder: change_rows(folder / INDEX, row=10_000_000),
        lambda folder: change_rows(folder / INDEX, sha256="0" * 64),
    ],
    ids=["no index", "no array", "cut index", "cut array", "empty array", "other size", "no such row", "other content"],
)
def test_what_is_missing_or_damaged_is_read_again(
    services: Services, counting: CountingStore, intent: Intent, damage: Callable[[Path], None]
) -> None:
    folder = Update(services, intent).folder
    kept = {name: (folder / name).read_bytes() for name in (DECODED, INDEX)}
    damage(folder)
    train, labels, held = prepared(services, intent)
    assert len(counting.read_keys) == 20
    for name, data in kept.items():
        (folder / name).write_bytes(data)
    whole_train, whole_labels, whole_held = prepared(services, intent)
    np.testing.assert_array_equal(train, whole_train)
    np.testing.assert_array_equal(labels, whole_labels)
    assert held.pngs == whole_held.pngs


def test_a_new_plan_does_not_meet_the_index_of_an_older_one(services: Services, intent: Intent) -> None:
    """The process ends while it decodes once more: the rows of the first time must not be believed."""
    folder = Update(services, intent).folder
    services.stop.set()
    with pytest.raises(StopRequestedError):
        ingest(Update(services, intent))
    assert (folder / DECODED).exists()
    assert not (folder / INDEX).exists()
