"""An update is begun, gone on with and given up by one updater at a time, whenever another one sleeps."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from handlers.bucket.update_documents import Attempts, GivenUp
from handlers.bucket.updates import UpdateRecords
from handlers.updater.context.update import Services, Update
from handlers.updater.errors import LeaseLostError, SupersededError
from handlers.updater.intake.listing import scan
from handlers.updater.intake.selection import select
from handlers.updater.leader.leadership import last_epoch
from handlers.updater.workflow.learn_steps import ingest, point, reject
from handlers.updater.workflow.ownership import Ownership
from handlers.updater.workflow.runner import Runner, Step
from model_store.directory.directory_store import DirectoryStore
from model_store.objects import ObjectInfo, StoreError
from model_store.versions import POINTER, VersionStore
from tests.handlers.conftest import Drop
from tests.support.documents import make_plan
from tests.support.present import present
from tools.manifests import make_manifest

UPDATE = "000001"
SUPERSEDED = GivenUp(result="superseded", reason="version 7 is served now")


def superseded(_: Update) -> None:
    raise SupersededError(SUPERSEDED.reason)


def learning(run: Callable[[Update], None]) -> Step:
    return Step("learn", run, lambda _: False)


def successor(records: UpdateRecords) -> None:
    """Another updater of a later epoch takes the update."""
    records.revise_attempts(UPDATE, lambda found: found.model_copy(update={"epoch": 9}))


class Sleepy(DirectoryStore):
    """The process sleeps between its last look and the write that gives the update up; another one takes over."""

    other: UpdateRecords

    def replace(self, key: str, data: bytes, *, expected_etag: str) -> ObjectInfo:
        if b'"result": "superseded"' in data:
            successor(self.other)
        return super().replace(key, data, expected_etag=expected_etag)


def test_a_sleeper_does_not_give_up_what_its_successor_goes_on_with(services: Services) -> None:
    sleepy = Sleepy(services.settings.data / "store")
    sleepy.other = services.records
    asleep = replace(services, objects=sleepy, records=UpdateRecords(sleepy))
    update = Update(asleep, asleep.records.begin({}))
    with pytest.raises(StoreError, match="changed meanwhile"):
        Runner(update, [learning(superseded)]).run()
    assert services.records.done(UPDATE) is None
    attempts = services.records.attempts(UPDATE)
    assert (attempts.epoch, attempts.given_up) == (9, None)


def test_who_has_lost_an_update_learns_from_the_lease_who_is_active(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that it stands by at once, whether it read the other's epoch or its write came too late."""
    sleepy = Sleepy(services.settings.data / "store")
    sleepy.other = services.records
    asleep = replace(services, objects=sleepy, records=UpdateRecords(sleepy))
    ownership = Ownership(Update(asleep, asleep.records.begin({})))
    ownership.begin(lambda found: found)

    def confirm() -> None:
        raise LeaseLostError("another one is active")

    monkeypatch.setattr(services.leadership, "confirm", confirm)
    with pytest.raises(LeaseLostError, match="another one is active"):
        ownership.give_up(SUPERSEDED)
    assert services.records.attempts(UPDATE).epoch == 9
    with pytest.raises(LeaseLostError, match="another one is active"):
        ownership.begin(lambda found: found)


@pytest.mark.parametrize("run", [superseded, lambda _: None], ids=["give up", "begin a step"])
def test_a_sleeper_that_wakes_later_does_nothing(services: Services, run: Callable[[Update], None]) -> None:
    update = Update(services, services.records.begin({}))
    runner = Runner(update, [Step("ingest", lambda _: successor(services.records), lambda _: False), learning(run)])
    with pytest.raises(LeaseLostError, match="epoch 9"):
        runner.run()
    assert services.records.done(UPDATE) is None
    assert services.records.attempts(UPDATE).begun == {"ingest": 1}
    with pytest.raises(LeaseLostError, match="epoch 9"):
        runner.run()


@pytest.mark.parametrize("asked", [0, 1], ids=["before a step", "before the update is given up"])
def test_the_lease_is_asked_for(services: Services, monkeypatch: pytest.MonkeyPatch, asked: int) -> None:
    """By a renewal in the store, so that whoever slept learns it: its own clock may have slept too."""
    answers = [*([None] * asked), LeaseLostError("another one is active")]

    def confirm() -> None:
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if answer is not None:
            raise answer

    ran = list[str]()

    def step(update: Update) -> None:
        ran.append("learn")
        superseded(update)

    update = Update(services, services.records.begin({}))
    monkeypatch.setattr(services.leadership, "confirm", confirm)
    with pytest.raises(LeaseLostError, match="another one is active"):
        Runner(update, [learning(step)]).run()
    assert len(ran) == asked
    assert services.records.attempts(UPDATE).given_up is None
    assert services.records.done(UPDATE) is None


def test_what_was_given_up_stays_so_whoever_ends_it(services: Services) -> None:
    update = Update(services, services.records.begin({}))
    services.records.revise_attempts(UPDATE, lambda _: Attempts(begun={"learn": 1}, given_up=SUPERSEDED))
    ran = list[str]()
    Runner(update, [learning(lambda _: ran.append("learn"))]).run()
    done = present(services.records.done(UPDATE))
    assert (done.result, done.reason, ran) == ("superseded", SUPERSEDED.reason, [])


def test_nobody_begins_a_step_of_what_was_given_up(services: Services) -> None:
    def give_up(_: Update) -> None:
        services.records.revise_attempts(UPDATE, lambda found: found.model_copy(update={"given_up": SUPERSEDED}))

    update = Update(services, services.records.begin({}))
    steps = [Step("point", give_up, lambda _: False), Step("archive", lambda _: None, lambda _: False)]
    with pytest.raises(LeaseLostError, match="was given up"):
        Runner(update, steps).run()
    assert "archive" not in services.records.attempts(UPDATE).begun


def test_a_version_that_was_pointed_to_is_not_superseded_by_a_later_rollback(services: Services) -> None:
    """Its images are on their way to the archive."""
    update = Update(services, services.records.begin({}))
    services.records.revise_attempts(UPDATE, lambda _: Attempts(begun={"point": 1, "archive": 1}))
    ran = list[str]()
    point = Step("point", superseded, lambda _: False, once=True)
    Runner(update, [point, Step("archive", lambda _: ran.append("archive"), lambda _: False)]).run()
    assert ran == ["archive"]
    assert services.records.attempts(UPDATE).given_up is None


class Overtaken(DirectoryStore):
    """A person points to the version in the moment in which its update does."""

    person: VersionStore

    def write(self, key: str, data: bytes, *, only_if_absent: bool = False) -> ObjectInfo:
        if key == POINTER:
            self.person.point_to(1, "rollback")
        return super().write(key, data, only_if_absent=only_if_absent)


def test_a_person_who_is_quicker_to_point_to_the_same_version_changes_nothing(
    services: Services, store: DirectoryStore, tmp_path: Path
) -> None:
    """Given up, its images would be found learnt already by the next update, and rejected."""
    overtaken = Overtaken(services.settings.data / "store")
    overtaken.person = VersionStore(store)
    (tmp_path / "model").write_bytes(b"model")
    overtaken.person.publish(make_manifest(1, parent=None, update_id=UPDATE), {"model.onnx": tmp_path / "model"})
    update = Update(replace(services, versions=VersionStore(overtaken)), services.records.begin({}))
    services.records.write_plan(make_plan(UPDATE, (), parent=None, version=1))
    point(update)
    assert present(overtaken.person.current()).reason == "rollback"


def test_the_epoch_never_goes_back_where_somebody_removed_the_lease(services: Services, store: DirectoryStore) -> None:
    services.records.begin({})
    successor(services.records)
    assert last_epoch(store) == 9


def test_a_marker_goes_with_the_last_image_of_its_folder(services: Services, store: DirectoryStore, drop: Drop) -> None:
    """Left alone, it let a later drop count as complete (seed 22491 of the simulation)."""
    for name in ("zero", "one"):
        drop(name, int(name == "one"), 3, marked=True)
    (drop("two", 2, 0, marked=True) / "cut.png").write_bytes(b"no image")
    chosen = select(list(scan(store).values()), 100, first=True)
    update = Update(services, services.records.begin(chosen))
    ingest(update)
    reject(update)
    left = {info.key for info in store.list("incoming/") if info.key.endswith("_READY")}
    assert left == {"incoming/zero/_READY", "incoming/one/_READY"}
    assert [info.key for info in store.list("archive/")] == [f"archive/{UPDATE}/two/_READY"]
