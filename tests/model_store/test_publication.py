"""Attempts to publish one version that are cut short, overtaken, or asleep while others finish."""

import contextlib
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from greenlet import greenlet

from model_store.directory.directory_store import DirectoryStore
from model_store.documents import Claim, encode
from model_store.manifest import Manifest
from model_store.objects import ObjectStore, PreconditionFailedError, StoreError
from model_store.pointer_file import PointerFile
from model_store.removal import VersionRemover
from model_store.versions import VersionStore
from tests.model_store.conftest import Place
from tests.support.present import present
from tests.support.stores.acted_on import ActedOn, Killed, before, fail
from tests.support.stores.inspected import everything_in
from tools.manifests import make_manifest

MANIFEST_KEY = "versions/1/manifest.json"


@pytest.fixture
def attempt(tmp_path: Path) -> Callable[..., Manifest]:
    """Publish version 1 with files of a content by name; an epoch."""

    def run(objects: Any, content: str, epoch: int) -> Manifest:
        folder = tmp_path / content
        folder.mkdir(exist_ok=True)
        for name in ("model.onnx", "config.yaml", "report.html"):
            (folder / name).write_text(f"{name} {content}" if name != "config.yaml" else "the same in all")
        files = {path.name: path for path in folder.iterdir()}
        return VersionStore(objects, lambda: epoch).publish(make_manifest(1, update_id="000001"), files)

    return run


def emptied(store: ObjectStore) -> None:
    for info in list(store.list("")):
        store.delete(info.key)


def whole(store: ObjectStore) -> None:
    """Version 1 verifies, and nothing lies beside what its manifest names."""
    manifest = VersionStore(store).verify(1)
    names = {key.removeprefix("versions/1/") for key in everything_in(store)}
    assert names == {*manifest.files, "manifest.json", "claim.json"}


@pytest.mark.slow
@pytest.mark.usefixtures("several_writers")
def test_asleep_before_any_call_it_changes_nothing_when_it_wakes(place: Place, attempt: Callable[..., Any]) -> None:
    for number in range(100):
        emptied(place.store)
        after: dict[str, bytes] = {}
        tag: list[str] = []

        def overtake(after: dict[str, bytes] = after, tag: list[str] = tag) -> None:
            attempt(place.store, "second", 2)
            after.update(everything_in(place.store))
            tag.append(place.store.stat(MANIFEST_KEY).etag)

        sleeper = before(place.store, number, overtake)
        try:
            attempt(sleeper, "first", 1)
        except StoreError:
            assert after
        whole(place.store)
        if not after:
            break
        assert everything_in(place.store) == after, number
        assert tag == [place.store.stat(MANIFEST_KEY).etag], "a manifest is written once"
    assert number > 5


@pytest.mark.slow
def test_killed_before_any_call_the_next_attempt_completes_it(place: Place, attempt: Callable[..., Any]) -> None:
    for number in range(100):
        emptied(place.store)
        try:
            attempt(before(place.store, number, fail), "first", 1)
        except Killed:
            pass
        else:
            break
        published = attempt(place.store, "second", 2)
        assert VersionStore(place.store).manifest(1) == published
        whole(place.store)
    assert number > 5


@pytest.mark.slow
def test_three_attempts_asleep_and_killed_at_any_call(tmp_path: Path, attempt: Callable[..., Any]) -> None:
    """The first sleeps while the second does, while the third finishes; then the second wakes, then the first."""
    draw = random.Random(7)
    for case in range(60):
        store = DirectoryStore(tmp_path / f"store-{case}")
        after: dict[str, bytes] = {}

        def third(store: DirectoryStore = store, after: dict[str, bytes] = after) -> None:
            attempt(store, draw.choice(["first", "third"]), 3)
            after.update(everything_in(store))

        def second(store: DirectoryStore = store, third: Callable[[], None] = third) -> None:
            try:
                attempt(before(store, draw.randrange(16), draw.choice([third, third, fail])), "second", 2)
            except (StoreError, Killed):
                assert True
            if not VersionStore(store).numbers():
                third()

        try:
            attempt(before(store, draw.randrange(12), second), "first", 1)
        except StoreError:
            assert VersionStore(store).numbers()
        manifest = VersionStore(store).verify(1)
        if after:
            files = {key: data for key, data in everything_in(store).items() if "/attempt-" not in key}
            assert files == after, case
        assert manifest.update_id == "000001"


@pytest.mark.parametrize("claim", [None, b'{"update_id": "000001"}'], ids=["somebody", "an earlier release"])
def test_what_somebody_put_in_the_place_of_a_file_is_replaced(
    place: Place, attempt: Callable[..., Any], claim: bytes | None
) -> None:
    if claim is not None:
        place.put("versions/1/claim.json", claim)
    place.put("versions/1/model.onnx", b"mine")
    attempt(place.store, "first", 1)
    whole(place.store)


def test_an_earlier_epoch_takes_nothing_over(place: Place, attempt: Callable[..., Any]) -> None:
    with pytest.raises(Killed):
        attempt(before(place.store, 4, fail), "second", 2)
    with pytest.raises(PreconditionFailedError, match=r"claimed in epoch 2, after this updater's \(1\)"):
        attempt(place.store, "first", 1)
    claim = Claim.model_validate_json(place.store.read("versions/1/claim.json"))
    assert (claim.epoch, claim.manifest) == (2, None)


def test_a_number_of_another_update_is_not_taken(place: Place, attempt: Callable[..., Any]) -> None:
    place.put("versions/1/claim.json", b'{"update_id": "000002"}')
    with pytest.raises(PreconditionFailedError, match="belongs to update '000002'"):
        attempt(place.store, "first", 1)
    assert everything_in(place.store) == {"versions/1/claim.json": b'{"update_id": "000002"}'}


def test_a_claim_that_was_taken_over_before_it_was_read_back(tmp_path: Path, attempt: Callable[..., Any]) -> None:
    """Before every call up to the seal another attempt claims, and is killed before it seals."""
    store = DirectoryStore(tmp_path / "store")
    claimed: list[bytes] = []

    def claim() -> None:
        with pytest.raises(Killed):
            attempt(before(store, 5, fail), "second", 2)
        claimed.append(store.read("versions/1/claim.json"))

    for number in range(20):
        emptied(store)
        with contextlib.suppress(PreconditionFailedError):
            attempt(before(store, number, claim), "first", 1)
            break  # it had sealed
        assert store.read("versions/1/claim.json") == claimed[-1], number
    assert number > 5
    assert Claim.model_validate_json(claimed[-1]).manifest is not None


class TestPointer:
    def test_of_a_later_epoch_is_not_moved_by_an_earlier_one(
        self, place: Place, publish: Callable[..., Manifest]
    ) -> None:
        person, old, new = (VersionStore(place.store, lambda epoch=epoch: epoch) for epoch in (None, 1, 2))
        publish(person)
        publish(person)
        old.point_to(1, "learnt")
        new.begin_epoch()
        for change in (lambda: old.point_to(2, "late"), lambda: old.decide_removal([2]), old.begin_epoch):
            with pytest.raises(PreconditionFailedError, match="epoch 2"):
                change()
        pointer = person.rollback(2)
        assert (pointer.version, pointer.epoch) == (2, 2)
        assert new.point_to(1, "learnt").epoch == 2

    @pytest.mark.usefixtures("several_writers")
    def test_a_move_that_slept_fails(self, place: Place, publish: Callable[..., Manifest]) -> None:
        """Before every call of the move in turn another updater begins its epoch: the version stays."""
        store, now = place.store, VersionStore(place.store)
        publish(now)
        publish(now)
        now.point_to(1, "first")
        for number in range(20):
            epoch = 2 * number + 1
            sleeper = before(store, number, VersionStore(store, lambda epoch=epoch: epoch + 1).begin_epoch)
            try:
                VersionStore(sleeper, lambda epoch=epoch: epoch).point_to(2, "late")  # type: ignore[arg-type]
            except PreconditionFailedError:
                pointer = present(now.current())
                assert (pointer.version, pointer.epoch) == (1, epoch + 1)
            else:
                assert sleeper.calls <= number
                return
        raise AssertionError("the move never ended")

    def test_the_first_one_of_two_stands(self, tmp_path: Path, publish: Callable[..., Manifest]) -> None:
        store = DirectoryStore(tmp_path / "store")
        person = VersionStore(store)
        publish(person)
        publish(person)
        found = PointerFile(store, lambda: None).look()
        assert found.pointer is None
        first = person.point_to(1, "first")
        with pytest.raises(PreconditionFailedError):
            PointerFile(store, lambda: None).replace(found, first.model_copy(update={"version": 2}))
        assert person.current() == first


def test_a_number_whose_version_was_removed_is_not_filled_by_who_slept_meanwhile(
    tmp_path: Path, attempt: Callable[..., Manifest]
) -> None:
    """Seed 102593 of the simulation: with the claim went what told of it."""
    store = DirectoryStore(tmp_path / "store")
    attempt(store, "successor's", 2)
    versions = VersionStore(store, lambda: 2)
    for number in (2, 3):
        versions.publish(make_manifest(number, update_id=f"{number:06d}"), {})
        versions.point_to(number, "learnt")
    VersionRemover(versions).remove({1: "old"})
    with pytest.raises(PreconditionFailedError, match="epoch 2 has begun"):
        attempt(store, "sleeper's", 1)
    assert versions.numbers() == [2, 3]


def test_a_manifest_does_not_come_back_after_its_version_was_removed(
    tmp_path: Path, attempt: Callable[..., Manifest]
) -> None:
    """Seed 1007333 of the simulation: an attempt sleeps before its last write, and wakes at any call of the removal."""
    woken_in_between = 0
    for woken in range(100):
        store = DirectoryStore(tmp_path / f"store-{woken}")
        versions = VersionStore(store, lambda: 2)
        sleeper = SleepsBeforeTheManifest(store, attempt)
        sleeper.go_on()
        attempt(store, "second", 2)
        for number in (2, 3):
            versions.publish(make_manifest(number, update_id=f"{number:06d}"), {})
            versions.point_to(number, "learnt")
        removing = before(store, woken, sleeper.go_on)
        VersionRemover(VersionStore(removing, lambda: 2)).remove({1: "old"})  # type: ignore[arg-type]  # by __getattr__
        late = woken >= removing.calls
        if late:
            sleeper.go_on()
            assert sleeper.refused
        assert sleeper.ended
        assert [key for key in everything_in(store) if key.startswith("versions/1/")] == [], woken
        if late:
            break
        woken_in_between += 1
    assert woken_in_between > 10


def test_what_an_earlier_release_sealed_is_completed_once(directory: Place, attempt: Callable[..., Any]) -> None:
    """It put no manifest aside. Another attempt may be quicker."""
    store, tags = directory.store, []
    sealed = attempt(store, "sealed", 1)
    store.write("versions/1/claim.json", encode(Claim(update_id="000001", epoch=1, attempt="a", manifest=sealed)))

    def quicker(name: str, key: str) -> None:
        if (name, key) == ("write", MANIFEST_KEY):
            tags.append(store.write(MANIFEST_KEY, encode(sealed)).etag)

    for act in (quicker, lambda _name, _key: None):
        store.delete(MANIFEST_KEY)
        assert attempt(ActedOn(store, act), "sealed", 2) == sealed
        whole(store)
        if act is quicker:
            assert tags == [store.stat(MANIFEST_KEY).etag]


class SleepsBeforeTheManifest:
    """An attempt at version 1 that stops before it puts the manifest in place, until it is told to go on."""

    def __init__(self, store: ObjectStore, attempt: Callable[..., Manifest]) -> None:
        self.refused = False

        def sleep(name: str, key: str) -> None:
            if name == "move" and key.endswith("/manifest.json"):
                self._task.parent.switch()

        def run() -> None:
            try:
                attempt(ActedOn(store, sleep), "first", 1)
            except PreconditionFailedError:
                self.refused = True

        self._task = greenlet(run)

    def go_on(self) -> None:
        """Run it until it sleeps or ends."""
        self._task.switch()

    @property
    def ended(self) -> bool:
        """Whether it has nothing more to do."""
        return bool(self._task.dead)
