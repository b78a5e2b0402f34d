"""What becomes of a provisional version: kept, taken back, replaced, given up; on a real store, nothing learnt."""

from collections.abc import Callable
from pathlib import Path

import pytest

from handlers.bucket.update_documents import Attempts, Intent
from handlers.updater.context.candidate import Candidate, Kind
from handlers.updater.context.update import Services, Update
from handlers.updater.errors import LearningError, MachineError, SupersededError
from handlers.updater.release.publish import check_parent, point
from handlers.updater.workflow.ending import end_update
from handlers.updater.workflow.provisional_steps import (
    attempted,
    fall_back,
    is_no_worse,
    is_offered,
    offer,
    unless_left_out,
)
from model_store.layout import EVALUATION
from model_store.manifest import Accuracy, Evaluation, Manifest, Pointer, now
from model_store.versions import VersionStore
from tests.support.documents import make_evaluation, make_plan
from tests.support.present import present
from tests.support.stores.published import pointed
from tools.manifests import make_manifest

CLASSES = ("a", "b", "c")
Publish = Callable[..., None]


def evaluation(number: int, right: tuple[int, int, int], *, parent_old: float = 0.9, passed: bool = True) -> Evaluation:
    """Of ten images of each of three classes, so many are right; the last class is new."""
    confusion = [[0] * 3 for _ in right]
    for index, count in enumerate(right):
        confusion[index][index] = count
        confusion[index][(index + 1) % 3] = 10 - count
    shares = [count / 10 for count in right]
    return make_evaluation(
        number,
        CLASSES,
        passed=passed,
        parent=1,
        images=30,
        cnn=Accuracy(all=sum(shares) / 3, old=(shares[0] + shares[1]) / 2, new=shares[2]),
        class_accuracy=dict(zip(CLASSES, shares, strict=True)),
        parent_old=parent_old,
        confusion=tuple(map(tuple, confusion)),
    )


@pytest.fixture
def publish(versions: VersionStore, tmp_path: Path) -> Publish:
    def add(number: int, update_id: str, found: Evaluation, kind: Kind = "learnt") -> None:
        (tmp_path / "model.onnx").write_bytes(b"model %d" % number)
        (tmp_path / EVALUATION).write_text(found.model_dump_json())
        manifest = make_manifest(number, side=12, kind=kind, parent=None, update_id=update_id, classes=CLASSES)
        versions.publish(manifest, {name: tmp_path / name for name in ("model.onnx", EVALUATION)})

    return add


@pytest.fixture
def update(services: Services, versions: VersionStore, publish: Publish) -> Update:
    """Update 2 has made the provisional version 2 on top of version 1, which is served, and is to learn version 3."""
    publish(1, "000001", evaluation(1, (9, 9, 0)))
    versions.point_to(1, "learnt")
    facts = {"parent": 1, "version": 3, "provisional": 2, "classes": CLASSES, "new_classes": ("c",), "resize": 12}
    services.records.write_plan(make_plan("000002", **facts))
    return Update(services, Intent(id="000002", created_at=now(), folders={}))


def offered(update: Update) -> Candidate:
    return present(update.provisional)


def refuse(update: Update) -> None:
    """The learnt version has been measured and refused."""
    update.folder.mkdir(parents=True, exist_ok=True)
    (update.folder / EVALUATION).write_text(evaluation(3, (2, 2, 9), passed=False).model_dump_json())


@pytest.mark.parametrize(
    ("right", "parent_old", "kept"),
    [((8, 8, 6), 0.9, True), ((6, 6, 6), 0.9, True), ((5, 6, 6), 0.9, False), ((9, 9, 0), 0.9, True)],
)
def test_a_refused_learnt_version_leaves_the_better_of_the_two_others(
    update: Update, versions: VersionStore, publish: Publish, right: tuple[int, int, int], parent_old: float, kept: bool
) -> None:
    found = evaluation(2, right, parent_old=parent_old)
    assert is_no_worse(found, 2) == kept  # the parent has 18 of the 30 right
    publish(2, "000002", found, "provisional")
    offer(update, offered(update))
    assert pointed(versions) == 2
    refuse(update)
    fall_back(update)
    assert pointed(versions) == (2 if kept else 1)
    told = str(update.services.status.snapshot()["errors"])
    assert ("version 2 stays served" if kept else "version 1 is served again") in told


@pytest.mark.parametrize("outcome", ["failed", "superseded"])
def test_without_a_learnt_version_the_parent_is_served_again(
    update: Update, versions: VersionStore, publish: Publish, outcome: str
) -> None:
    publish(2, "000002", evaluation(2, (9, 9, 9)), "provisional")
    offer(update, offered(update))
    end_update(update, "failed" if outcome == "failed" else "superseded", "a reason")
    assert pointed(versions) == 1
    done = present(update.services.records.done("000002"))
    assert (done.result, done.version, done.provisional) == (outcome, None, None)


def test_an_end_without_a_provisional_version_in_place_moves_nothing(
    update: Update, versions: VersionStore, publish: Publish
) -> None:
    publish(2, "000002", evaluation(2, (9, 9, 9)), "provisional")
    publish(4, "000003", evaluation(4, (9, 9, 9)))
    versions.point_to(4, "somebody's")
    end_update(update, "superseded", "a reason")
    assert pointed(versions) == 4


def test_whose_version_is_served_while_an_update_learns(
    update: Update, versions: VersionStore, publish: Publish
) -> None:
    publish(2, "000002", evaluation(2, (9, 9, 9)), "provisional")
    check_parent(update)
    offer(update, offered(update))
    check_parent(update)
    versions.rollback(1)  # somebody does not want the provisional version: the learnt one comes all the same
    check_parent(update)
    assert offered(update).was_pointed()  # and it is not offered again
    publish(4, "000003", evaluation(4, (9, 9, 9)))
    versions.rollback(4)
    with pytest.raises(SupersededError, match="version 4 is served now, not 1"):
        check_parent(update)


def test_a_number_that_another_update_took_is_not_ours(
    update: Update, versions: VersionStore, publish: Publish
) -> None:
    publish(2, "000009", evaluation(2, (9, 9, 9)))
    versions.point_to(2, "somebody's")
    assert offered(update).stored() is None
    with pytest.raises(SupersededError, match="version 2 is served now"):
        check_parent(update)


def test_a_refused_provisional_version_is_not_offered(update: Update, publish: Publish) -> None:
    publish(2, "000002", evaluation(2, (1, 1, 1), passed=False), "provisional")
    assert is_offered(update, offered(update))


def test_a_failure_is_told_and_gone_past(update: Update) -> None:
    def fail(*_: object) -> None:
        raise LearningError("no such luck")

    attempted("imprint", fail)(update)
    assert unless_left_out(lambda *_: False)(update)
    (error,) = update.services.status.snapshot()["errors"]
    assert error["message"] == "no provisional version in update 000002: no such luck"


@pytest.mark.parametrize("error", [MachineError("disk full"), SupersededError("overtaken"), OSError(28, "full")])
def test_what_is_not_the_provisional_versions_fault_is_no_reason_to_give_up(update: Update, error: Exception) -> None:
    def fail(*_: object) -> None:
        raise error

    with pytest.raises(type(error)):
        attempted("imprint", fail)(update)
    assert not unless_left_out(lambda *_: False)(update)


def test_a_step_that_kills_the_process_is_left_out_in_the_end(update: Update) -> None:
    ran = []
    step = attempted("imprint", lambda *_: ran.append(1))
    update.services.records.revise_attempts("000002", lambda _: Attempts(begun={"imprint": 10}))
    step(update)
    assert ran == [1]
    update.services.records.revise_attempts("000002", lambda _: Attempts(begun={"imprint": 11}))
    step(update)
    assert ran == [1]
    assert unless_left_out(lambda *_: False)(update)


@pytest.mark.parametrize("chosen", [2, 4])
def test_an_update_gives_way_to_a_person_who_points_in_the_same_moment(
    update: Update, versions: VersionStore, publish: Publish, monkeypatch: pytest.MonkeyPatch, chosen: int
) -> None:
    publish(2, "000002", evaluation(2, (9, 9, 9)), "provisional")
    publish(4, "000003", evaluation(4, (9, 9, 9)))
    mine = update.services.versions
    point_to, manifest = mine.point_to, mine.manifest

    def interrupted(number: int) -> Manifest:  # between the look at the pointer and its change
        monkeypatch.undo()
        VersionStore(update.services.objects).point_to(chosen, "a person's")
        return manifest(number)

    def late(number: int, reason: str) -> Pointer:
        monkeypatch.setattr(mine, "manifest", interrupted)
        return point_to(number, reason)

    monkeypatch.setattr(mine, "point_to", late)
    if chosen == 2:  # a person was quicker with the very same
        point(update, offered(update), "provisional")
    else:
        with pytest.raises(SupersededError):
            point(update, offered(update), "provisional")
    assert pointed(versions) == chosen
