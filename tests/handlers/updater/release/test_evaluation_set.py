"""Which images measure a class: those that drops held out, or the user's own; with a real model that sees colours."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from handlers.bucket.layout import EVALUATION
from handlers.bucket.update_documents import Intent
from handlers.updater.context.candidate import Candidate
from handlers.updater.context.update import PROVISIONAL, Services, Update
from handlers.updater.release import evaluate
from handlers.updater.release.evaluation_set import measure
from handlers.updater.training.learnt_spec import learnt_spec
from lucir_core.memory.image_blobs import ImageBlobs
from model_store.layout import HOLDOUT, MODEL
from model_store.manifest import now
from tests.handlers.torchserve.conftest import colour_model
from tests.support.documents import make_plan
from tests.support.stores.counting_store import CountingStore

CLASSES = ("red", "green", "blue")
HELD, OWN = 2, 3


def model(side: int) -> bytes:
    """The label of a class is the channel of its colour, for both readouts."""
    channels = np.eye(3, dtype=np.float32)
    return colour_model(channels, channels, side).SerializeToString()


def add_own(root: Path, name: str) -> None:
    folder = root / "evaluation" / name
    folder.mkdir(parents=True)
    for index in range(OWN):
        Image.new("RGB", (16 + index, 16), {"green": "lime"}.get(name, name)).save(folder / f"{index}.png")


@pytest.fixture
def update(services: Services) -> Update:
    """Every class has images held out; red and green were dropped, green had images of its own when planned."""
    side = services.config.resize
    facts = {"classes": CLASSES, "new_classes": ("red",), "updated_classes": ("green",), "own_evaluation": ("green",)}
    plan = make_plan("000001", resize=side, **facts)
    services.records.write_plan(plan)
    update = Update(services, Intent(id=plan.id, created_at=now(), folders={}))
    update.folder.mkdir(parents=True)
    labels = np.repeat(np.arange(3), HELD)
    images = np.zeros((len(labels), side, side, 3), np.uint8)
    images[np.arange(len(labels)), :, :, labels] = 255
    ImageBlobs.from_arrays(images, labels, CLASSES).save(update.folder / HOLDOUT)
    (update.folder / MODEL).write_bytes(model(side))
    return update


def test_a_model_is_asked_with_as_many_threads_as_may_run(update: Update, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluate, "usable_cores", lambda: 3)
    model = update.folder / MODEL
    threads = [evaluate.open_model(model, some).get_session_options().intra_op_num_threads for some in (None, 2)]
    assert threads == [3, 2]


def measured(update: Update, candidate: Candidate | None = None) -> list[int]:
    """How many images of each class were asked; the model is always right."""
    found = measure(update, learnt_spec(update, candidate or update.candidate))
    assert found.cnn.all == 1.0
    return found.confusion.measured()


def test_held_out_images_measure_where_there_are_no_others(update: Update) -> None:
    """Green's own images have been taken away since the plan was made."""
    assert measured(update) == [HELD, HELD, HELD]


def test_own_images_take_the_place_of_held_out_ones(update: Update, root: Path) -> None:
    add_own(root, "green")
    add_own(root, "blue")  # not dropped, so the plan says nothing of this class
    assert measured(update) == [HELD, OWN, OWN]


def test_own_images_that_came_after_the_plan_count_at_the_next_update(update: Update, root: Path) -> None:
    add_own(root, "red")
    assert measured(update) == [HELD, HELD, HELD]


def test_both_candidates_of_an_update_are_shown_own_images_that_were_read_once(update: Update, root: Path) -> None:
    """The provisional version's evaluation reads them, that of the learnt one does not, nor after a restart."""
    for name in ("green", "blue"):
        add_own(root, name)
    (root / "evaluation" / "blue" / "damaged.png").write_bytes(b"not an image")
    update.services.objects = store = CountingStore(root, EVALUATION)
    folder = update.folder / PROVISIONAL
    folder.mkdir()
    (folder / MODEL).write_bytes((update.folder / MODEL).read_bytes())
    provisional = Candidate(update.services.versions, update.id, 2, "provisional", folder, update.folder)
    again = Update(update.services, update.intent)
    assert [measured(update, provisional), measured(update), measured(again)] == 3 * [[HELD, OWN, OWN]]
    assert sorted(store.read_keys) == sorted(info.key for info in store.list(EVALUATION))
