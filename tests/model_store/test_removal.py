"""Versions that are removed: whole, by name, and whatever happens at the same time."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from model_store.directory.directory_store import DirectoryStore
from model_store.manifest import Manifest
from model_store.mirror import mirror
from model_store.objects import ObjectStore
from model_store.removal import Outcome, VersionRemover
from model_store.versions import CorruptVersionError, VersionNotFoundError, VersionStore
from tests.model_store.conftest import Place
from tests.support.present import present
from tests.support.stores.acted_on import Killed, versions_of

Publish = Callable[..., Manifest]


def keys(store: ObjectStore) -> list[str]:
    return [info.key for info in store.list("versions/")]


def four(store: ObjectStore, publish: Publish) -> VersionStore:
    """Versions 1 to 4; 4 is served, 3 was before."""
    versions = VersionStore(store)
    for number in range(1, 5):
        publish(versions)
        versions.point_to(number, "test")
    return versions


def test_removed_versions_leave_nothing(place: Place, publish: Publish) -> None:
    versions = four(place.store, publish)
    outcome = VersionRemover(versions).remove({1: "old", 2: "old", 9: "never was"})
    assert [removal.version for removal in outcome.removed] == [1, 2]
    assert (outcome.left, outcome.foreign) == ({}, [])
    assert versions.numbers() == versions.used() == [3, 4]
    assert not [key for key in keys(place.store) if key.startswith(("versions/1/", "versions/2/"))]
    with pytest.raises(VersionNotFoundError, match="there are: 3, 4"):
        versions.rollback(2)
    assert versions.next_number() == 5


def test_what_the_pointer_names_stays(place: Place, publish: Publish) -> None:
    versions = four(place.store, publish)
    outcome = VersionRemover(versions).remove({3: "x", 4: "x"})
    assert outcome.left == dict.fromkeys([3, 4], "the pointer names it")
    assert outcome.removed == []
    for number in (3, 4):
        versions.verify(number)


def test_objects_of_others_stay_and_are_named(place: Place, publish: Publish) -> None:
    versions = four(place.store, publish)
    place.put("versions/1/notes.txt", b"mine")
    place.put("versions/1/deep/model.onnx", b"mine")
    outcome = VersionRemover(versions).remove({1: "old"})
    assert sorted(outcome.foreign) == ["versions/1/deep/model.onnx", "versions/1/notes.txt"]
    assert versions.numbers() == [2, 3, 4]
    assert versions.used() == [1, 2, 3, 4]


def test_a_damaged_version_is_left(directory: Place, publish: Publish) -> None:
    versions = four(directory.store, publish)
    directory.put("versions/1/manifest.json", b"{")
    outcome = VersionRemover(versions).remove({1: "old", 2: "old"})
    assert [removal.version for removal in outcome.removed] == [2]
    assert "versions/1/manifest.json is damaged" in outcome.left[1]
    assert "versions/1/model.onnx" in keys(directory.store)


def test_a_removal_is_completed_wherever_it_was_cut_short(tmp_path: Path, publish: Publish) -> None:
    """Killed before every single call in turn; at no moment does a version exist without all of its files."""
    calls = 0
    first = DirectoryStore(tmp_path / "first")
    four(first, publish)
    first.write("versions/1/notes.txt", b"mine")
    for cut in range(1000):
        store = DirectoryStore(shutil.copytree(tmp_path / "first", tmp_path / f"store-{cut}"))
        calls = 0

        def count(_name: str, _key: str, cut: int = cut) -> None:
            nonlocal calls
            if calls == cut:
                raise Killed
            calls += 1

        try:
            VersionRemover(versions_of(store, count)).remove({1: "old", 2: "old"})
        except Killed:
            pass
        else:
            break
        versions = VersionStore(store)
        for number in versions.numbers():
            versions.verify(number)
        left = [number for number in (1, 2) if number in versions.numbers()]
        VersionRemover(versions).remove(dict.fromkeys(left, "old"))
        remaining = [key for key in keys(store) if key.startswith(("versions/1/", "versions/2/"))]
        assert remaining == ["versions/1/notes.txt"], cut
        log = versions.removals()
        assert log.pending == ()
        assert [removal.version for removal in log.removed] == [1, 2]
    assert calls > 20


def test_a_rollback_that_comes_before_the_decision_wins(directory: Place, publish: Publish) -> None:
    versions = four(directory.store, publish)

    def roll_back(name: str, key: str) -> None:
        if (name, key) == ("replace", "versions/current.json"):
            versions.rollback(1)

    outcome = VersionRemover(versions_of(directory.store, roll_back)).remove({1: "old", 2: "old"})
    assert outcome.left == {1: "the pointer names it"}
    assert [removal.version for removal in outcome.removed] == [2]
    versions.verify(1)
    pointer = present(versions.current())
    assert (pointer.version, pointer.removing) == (1, ())


def test_a_rollback_that_comes_after_the_decision_is_refused(directory: Place, publish: Publish) -> None:
    """Not one file is gone yet, but whoever decided it may be asleep and go on at any time."""
    versions = four(directory.store, publish)
    refused = []

    def roll_back(name: str, key: str) -> None:
        if (name, key) == ("delete", "versions/1/manifest.json"):
            with pytest.raises(VersionNotFoundError, match="version 1 was removed"):
                versions.rollback(1)
            refused.append(key)

    before = versions.current()
    outcome = VersionRemover(versions_of(directory.store, roll_back)).remove({1: "old", 2: "old"})
    assert [removal.version for removal in outcome.removed] == [1, 2]
    assert refused
    assert versions.current() == before


def test_a_remover_that_sleeps_deletes_nothing_that_is_wanted_when_it_wakes(tmp_path: Path, publish: Publish) -> None:
    """Asleep before each of its calls in turn, while another one completes the removal and a person goes back."""
    first = DirectoryStore(tmp_path / "first")
    four(first, publish)
    for nap in range(1000):
        store = DirectoryStore(shutil.copytree(tmp_path / "first", tmp_path / f"store-{nap}"))
        versions, calls = VersionStore(store), 0

        def meanwhile(_name: str, _key: str, nap: int = nap, versions: VersionStore = versions) -> None:
            nonlocal calls
            calls += 1
            if calls == nap + 1:
                VersionRemover(versions).remove({1: "old"})
                for number in (2, 3, 4):
                    versions.rollback(number)

        outcome = VersionRemover(versions_of(store, meanwhile)).remove({1: "old"})
        assert (outcome.left, versions.numbers()) == ({}, [2, 3, 4])
        for number in (2, 3, 4):
            versions.verify(number)
        pointer = present(versions.current())
        assert (pointer.version, pointer.removing) == (4, ())
        if calls <= nap:
            break
    assert nap > 10


def test_a_rollback_that_comes_last_fails_and_changes_nothing(directory: Place, publish: Publish) -> None:
    """The version is removed between the rollback's look at it and its move of the pointer."""
    versions = four(directory.store, publish)
    before = versions.current()

    def remove(name: str, key: str) -> None:
        if (name, key) == ("replace", "versions/current.json"):
            VersionRemover(versions).remove({1: "old"})

    with pytest.raises(VersionNotFoundError, match="version 1 was removed while it was being used"):
        versions_of(directory.store, remove).rollback(1)
    assert versions.current() == before
    assert versions.numbers() == [2, 3, 4]


def test_a_mirror_under_way_says_that_the_version_is_gone(directory: Place, publish: Publish, tmp_path: Path) -> None:
    versions = four(directory.store, publish)

    def remove(name: str, _key: str) -> None:
        if name == "download":
            VersionRemover(versions).remove({1: "old"})

    with pytest.raises(VersionNotFoundError, match="removed while it was being used: look at the pointer again"):
        mirror(versions_of(directory.store, remove), 1, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


@pytest.mark.parametrize("complete", [True, False])
def test_a_removed_number_is_never_given_again_however_old_the_listing(
    directory: Place, publish: Publish, tmp_path: Path, complete: bool
) -> None:
    """One that shows neither the version, for it is from before, nor what came after it."""
    versions, outcome = VersionStore(directory.store), Outcome()
    publish(versions)
    versions.point_to(1, "test")
    if complete:
        publish(versions)
        VersionRemover(versions).remove({2: "old"})
    else:
        directory.put("versions/2/claim.json", b"{}")
        VersionRemover(versions).remove_unfinished(2, {"model.onnx"}, outcome)
    assert versions.numbers() == versions.used() == [1]
    assert versions.next_number() == 3
    VersionRemover(versions).remove({1: "it is served"})  # writes the record anew
    assert versions.next_number() == 3


def test_a_number_whose_removal_was_decided_is_not_given_again(directory: Place, publish: Publish) -> None:
    versions = VersionStore(directory.store)
    publish(versions)
    versions.point_to(1, "test")
    publish(versions)
    versions.decide_removal({2})
    for info in list(directory.store.list("versions/2/")):
        directory.store.delete(info.key)
    assert versions.next_number() == 3


def test_an_edited_record_stops_everything(directory: Place, publish: Publish) -> None:
    versions = four(directory.store, publish)
    directory.put("versions/removed.json", b'{"pending": "all"}')
    with pytest.raises(CorruptVersionError, match=r"versions/removed\.json.*move it away"):
        VersionRemover(versions).remove({1: "old"})
    assert versions.numbers() == [1, 2, 3, 4]
    assert versions.next_number() == 5  # learning goes on


def test_only_unfinished_numbers_are_removed_as_such(place: Place, publish: Publish) -> None:
    versions, outcome = VersionStore(place.store), Outcome()
    publish(versions)
    for name in ("claim.json", "model.onnx", "notes.txt"):
        place.put(f"versions/2/{name}", b"{}")
    for number in (1, 2):
        VersionRemover(versions).remove_unfinished(number, {"model.onnx"}, outcome)
    versions.verify(1)
    assert outcome.foreign == ["versions/2/notes.txt"]
    assert [key for key in keys(place.store) if key.startswith("versions/2/")] == ["versions/2/notes.txt"]


def test_what_an_unfinished_update_left_keeps_its_claim_until_the_end(tmp_path: Path) -> None:
    """Without it nobody would know whose the rest is: it would stay for ever."""
    for cut in range(1, 100):
        store, deleted = DirectoryStore(tmp_path / f"store-{cut}"), 0
        for name in ("claim.json", "model.onnx", "config.yaml", "attempt-1-ab/model.onnx"):
            store.write(f"versions/2/{name}", b"{}")

        def kill(operation: str, _key: str, cut: int = cut) -> None:
            nonlocal deleted
            deleted += operation == "delete"
            if deleted == cut:
                raise Killed

        try:
            VersionRemover(versions_of(store, kill)).remove_unfinished(2, {"model.onnx", "config.yaml"}, Outcome())
        except Killed:
            assert "versions/2/claim.json" in keys(store)
        else:
            break
    assert (keys(store), cut) == (["versions/removed.json"], 6)
    assert VersionStore(store).next_number() == 3


def test_thousands_of_versions_are_listed_without_a_call_for_each(directory: Place, publish: Publish) -> None:
    counted: list[str] = []
    for number in range(1, 2001):
        directory.put(f"versions/{number}/manifest.json", b"{}")
    versions = versions_of(directory.store, lambda name, _: counted.append(name))
    assert versions.numbers() == list(range(1, 2001))
    assert versions.next_number() == 2001
    assert counted == ["list", "folders", "read", "read"]
