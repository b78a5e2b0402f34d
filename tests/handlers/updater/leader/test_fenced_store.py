"""What an updater writes that slept between the question whether it may and its write."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from handlers.bucket.update_documents import Entry, FailedFolder, Reason
from handlers.bucket.updates import UpdateRecords
from handlers.updater.errors import LeaseLostError
from handlers.updater.intake.originals import move_original, write_reasons
from handlers.updater.leader.fenced_store import FencedStore
from handlers.updater.leader.lease import KEY, Lease
from model_store.directory.directory_store import DirectoryStore
from model_store.objects import ObjectInfo, PreconditionFailedError
from model_store.versions import VersionStore
from tests.support.documents import make_done, make_entry
from tests.support.stores.acted_on import Killed, fail
from tests.support.stores.acted_on import before as before_call
from tests.support.stores.inspected import everything_in
from tools.manifests import make_manifest

SHA_OF_ONE = "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"


def asleep(store: DirectoryStore, meanwhile: Callable[[], object]) -> FencedStore:
    """The store of an updater that may write, and sleeps right after it has learnt that."""
    return FencedStore(store, lambda: (meanwhile(), None)[1])


Late = Callable[[FencedStore, ObjectInfo | None, Path], object]
KEY_OF_ALL = "updates/failed.json"


@pytest.mark.parametrize(
    ("before", "late"),
    [
        (None, lambda fenced, _, __: fenced.write(KEY_OF_ALL, b"late")),
        (b"seen", lambda fenced, _, __: fenced.write(KEY_OF_ALL, b"late")),
        (b"seen", lambda fenced, seen, _: fenced.replace(KEY_OF_ALL, b"late", expected_etag=seen.etag)),
        (None, lambda fenced, _, file: fenced.upload(KEY_OF_ALL, file, only_if_absent=True)),
    ],
    ids=["write", "write over", "replace", "upload"],
)
def test_what_another_has_written_meanwhile_stays(
    store: DirectoryStore, tmp_path: Path, before: bytes | None, late: Late
) -> None:
    (tmp_path / "late").write_bytes(b"late")
    seen = store.write(KEY_OF_ALL, before) if before is not None else None
    fenced = asleep(store, lambda: store.write(KEY_OF_ALL, b"another's"))
    with pytest.raises(PreconditionFailedError):
        late(fenced, seen, tmp_path / "late")
    assert store.read(KEY_OF_ALL) == b"another's"


def entry_of(store: DirectoryStore) -> Entry:
    info = store.write("incoming/ant/1.png", b"one")
    target = "archive/000001/ant/1.png"
    return make_entry(info.key, etag=info.etag, sha256=SHA_OF_ONE, class_name="ant", target=target)


def test_a_new_image_under_the_name_of_an_archived_one_is_not_taken_away(store: DirectoryStore) -> None:
    entry = entry_of(store)

    def finished_and_dropped_again() -> None:
        store.move(entry.key, entry.target)
        store.write(entry.key, b"another image")

    assert move_original(asleep(store, finished_and_dropped_again), entry) is False
    assert store.read(entry.key) == b"another image"
    assert store.read(entry.target) == b"one"


def test_an_image_that_was_replaced_just_now_is_not_taken_for_the_one_that_was_learnt(store: DirectoryStore) -> None:
    entry = entry_of(store)
    assert move_original(asleep(store, lambda: store.write(entry.key, b"another image")), entry) is False
    assert store.read(entry.key) == b"another image"
    assert [info.key for info in store.list("archive/")] == []


def test_the_reason_of_a_rejection_is_written_once(store: DirectoryStore) -> None:
    entry = entry_of(store).model_copy(update={"role": "rejected", "reason": "damaged", "target": "rejected/ant/1.png"})
    for update_id in ("000001", "000002"):  # again after an interruption
        write_reasons(store, update_id, [entry])
    reason = Reason.model_validate_json(store.read("rejected/ant/1.png.reason.json"))
    assert (reason.reason, reason.update_id) == ("damaged", "000001")


def test_an_update_ends_once(store: DirectoryStore) -> None:
    records = UpdateRecords(store)
    done = make_done("000001", version=1)
    records.write_done(done)
    records.write_done(done.model_copy(update={"result": "failed", "version": None}))
    assert records.done("000001") == done


def test_a_folder_is_not_set_aside_for_an_update_that_another_updater_ended_well(store: DirectoryStore) -> None:
    records = UpdateRecords(store)
    records.write_done(make_done("000001", version=1))
    records.write_done(make_done("000002", "failed"))
    folders = {
        name: FailedFolder(fingerprint="f", update_id=update, reason="r")
        for name, update in (("ant", "000001"), ("bee", "000002"), ("cat", "000003"))
    }
    records.write_failed(folders)
    assert set(records.failed()) == {"bee", "cat"}


def test_the_term_goes_on_where_the_lease_was_removed(store: DirectoryStore) -> None:
    def lease(name: str, lowest: int) -> Lease:
        return Lease(store, 15.0, name, name, lowest_term=lambda: lowest)

    first = lease("first", 0)
    first.tend()
    assert first.epoch == 1
    store.delete(KEY)
    later = lease("later", 7)
    later.tend()
    assert (later.state.state, later.epoch) == ("active", 8)


@pytest.mark.parametrize("earlier", [False, True], ids=["first attempt", "second attempt"])
def test_an_attempt_that_slept_takes_back_what_it_put_aside(
    store: DirectoryStore, tmp_path: Path, earlier: bool
) -> None:
    """Found by a walk: the manifest that an updater was about to put aside when it fell asleep stayed for ever."""

    def publish(objects: Any, content: str, epoch: int) -> None:
        (tmp_path / content).write_text(content, encoding="utf-8")
        made = make_manifest(1, update_id="000001")
        VersionStore(objects, lambda: epoch).publish(made, {"model.onnx": tmp_path / content})

    for number in range(100):
        for info in list(store.list("")):
            store.delete(info.key)
        if earlier:
            with pytest.raises(Killed):
                publish(before_call(store, 4, fail), "killed", 1)
        left: dict[str, bytes] = {}

        def overtake(left: dict[str, bytes] = left) -> None:
            publish(store, "third", 3)
            left.update(everything_in(store))

        def hold(left: dict[str, bytes] = left) -> None:
            if left:
                raise LeaseLostError("another updater is active")

        sleeper = FencedStore(before_call(store, number, overtake), hold)  # type: ignore[arg-type]  # by __getattr__
        with contextlib.suppress(LeaseLostError, PreconditionFailedError):
            publish(sleeper, "second", 2)
        if not left:
            break
        assert everything_in(store) == left, number
    assert number > 8


def test_an_update_that_was_begun_late_is_ended_before_the_next_begins(store: DirectoryStore) -> None:
    """Found by a history: a successor that had seen no update went on to the next number."""
    records = UpdateRecords(store)
    assert records.begin({}).id == "000001"
    assert records.unfinished() is not None
    with pytest.raises(PreconditionFailedError, match="update 000001 has been begun and has no end yet"):
        records.begin({})
    records.write_done(make_done("000001", version=1))
    assert records.begin({}).id == "000002"
