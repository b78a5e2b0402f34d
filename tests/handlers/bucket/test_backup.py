"""A store copied while it is used, and brought back: the same objects, the same answers."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from handlers.bucket.backup import LEASE, RECORD, make_backup, read_record, restore_backup
from handlers.client import Client
from model_store.connect import check_apart
from model_store.directory.directory_store import DirectoryStore
from model_store.objects import ObjectStore, StoreError
from model_store.removal import VersionRemover
from model_store.versions import POINTER, VersionStore
from tests.support.stores.inspected import everything_in
from tests.support.stores.old_store import copy_whole
from tools.simulation.bucket import Bucket, Faults, SimulatedStore
from tools.simulation.scheduler import Process, Scheduler


def restorable(copy: ObjectStore) -> int | None:
    record = read_record(copy)
    assert record is not None
    assert record.finished_at is not None
    return record.version


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    copy_whole(tmp_path / "store")
    store = DirectoryStore(tmp_path / "store")
    store.write("incoming/new/a.png", b"an image")
    store.write("archive/000009/large.png", b"x" * (3 << 20))
    return store


@pytest.fixture
def copy(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path / "copy")


@pytest.fixture
def back(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path / "back")


def test_everything_comes_back_but_the_lease(store: DirectoryStore, copy: DirectoryStore, back: DirectoryStore) -> None:
    made = make_backup(store, copy)
    assert (made.version, made.unchanged, made.removed) == (4, 0, 0)
    restored = restore_backup(copy, back)
    assert restored.version == 4
    expected = everything_in(store)
    del expected[LEASE]
    assert everything_in(back) == expected
    assert VersionStore(back).current() == VersionStore(store).current()


def test_a_second_run_copies_what_is_new_and_removes_what_is_gone(store: DirectoryStore, copy: DirectoryStore) -> None:
    first = make_backup(store, copy)
    store.delete("archive/000001/one/000.png")
    store.write("incoming/new/b.png", b"another")
    second = make_backup(store, copy)
    assert second.removed == 1
    assert second.unchanged > 60
    assert second.objects < first.objects / 2
    assert "archive/000001/one/000.png" not in everything_in(copy)
    assert everything_in(copy)["incoming/new/b.png"] == b"another"


@pytest.mark.parametrize("place", ["incoming/new", "evaluation/one", "rejected/000009/one"])
def test_an_image_that_was_replaced_is_copied_again(copy: DirectoryStore, place: str) -> None:
    """By one of the same size, where the clock of the store is behind that of its copy."""
    scheduler = Scheduler("1")
    store = SimulatedStore(Bucket(scheduler), scheduler, Process("one"), Faults, lambda *_: None)
    store.write(f"{place}/b.png", b"before")
    make_backup(store, copy)
    store.write(f"{place}/b.png", b"after!")
    make_backup(store, copy)
    assert everything_in(copy)[f"{place}/b.png"] == b"after!"


def moving(store: DirectoryStore, monkeypatch: pytest.MonkeyPatch, do: Callable[[], None], at: str) -> None:
    """Let ``do`` happen just before the object ``at`` is read."""
    read = store.read

    def reads(key: str, **options: int) -> bytes:
        if key == at and do is not None:
            do()
        return read(key, **options)

    monkeypatch.setattr(store, "read", reads)


def test_an_image_that_moves_meanwhile_is_not_lost(
    store: DirectoryStore, copy: DirectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def archive() -> None:
        if any(True for _ in store.list("incoming/new/")):
            store.move("incoming/new/a.png", "archive/000004/new/a.png")

    moving(store, monkeypatch, archive, "incoming/new/a.png")
    make_backup(store, copy)
    assert everything_in(copy)["archive/000004/new/a.png"] == b"an image"
    assert "incoming/new/a.png" not in everything_in(copy)


def test_an_image_that_goes_the_other_way_meanwhile_is_not_lost(
    store: DirectoryStore, copy: DirectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From ``rejected/``, before that is listed, to ``incoming/``, which was; and on to ``archive/``, which was too."""
    places = iter(["rejected/000002/new/b.png", "incoming/new/b.png", "archive/000001/new/b.png"])
    here = next(places)
    store.write(here, b"tried again")

    def move_on() -> None:
        nonlocal here
        if (target := next(places, None)) is not None:
            store.move(here, target)
            here = target

    moving(store, monkeypatch, move_on, "archive/000001/one/000.png")
    moving(store, monkeypatch, move_on, "incoming/new/b.png")
    make_backup(store, copy)
    assert everything_in(copy)[here] == b"tried again"
    assert restorable(copy) == 4


def test_only_an_empty_place_or_the_own_copy_is_written_to(
    store: DirectoryStore, copy: DirectoryStore, back: DirectoryStore, tmp_path: Path
) -> None:
    back.write("somebody's", b"own")
    with pytest.raises(StoreError, match="not empty and not a backup"):
        make_backup(store, back)
    make_backup(store, copy)
    other = DirectoryStore(tmp_path / "other")
    with pytest.raises(StoreError, match="is the backup of"):
        make_backup(other, copy)
    with pytest.raises(StoreError, match=r"holds somebody's: a backup is restored into an empty store only"):
        restore_backup(copy, back)
    assert everything_in(back) == {"somebody's": b"own"}


PLACES = {
    "itself": lambda root: root / "store",
    "in it": lambda root: root / "store" / "incoming" / "backup",
    "around it": lambda root: root,
    "by a link": lambda root: root / "link",
    "in it by a link": lambda root: root / "link" / "backup",
    "by another path": lambda root: root / "x" / ".." / "store" / "backup",
}


@pytest.mark.parametrize("name", PLACES)
def test_a_store_is_not_backed_up_into_itself(tmp_path: Path, name: str) -> None:
    """Nothing is written, not even a folder; not even where the store is empty still, as it would seem a free place."""
    (tmp_path / "store").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "store")
    before = sorted(tmp_path.rglob("*"))
    with Client(store=(tmp_path / "store").as_uri()) as client:
        for copy in (client.backup, client.restore):
            with pytest.raises(StoreError, match="name a place apart from it"):
                copy(str(PLACES[name](tmp_path)))
    assert sorted(tmp_path.rglob("*")) == before
    for copying in (make_backup, restore_backup):
        with pytest.raises(StoreError, match="name a place apart from it"):
            copying(DirectoryStore(tmp_path / "store"), DirectoryStore(PLACES[name](tmp_path)))
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_bucket_is_not_backed_up_into_itself() -> None:
    with pytest.raises(StoreError, match="name a place apart from it"):
        check_apart("s3://lucir", "s3://lucir/")
    check_apart("s3://lucir", "s3://lucir-backup")
    check_apart("s3://lucir", "file:///lucir")
    check_apart("file:///data/store", "file:///data/store-backup")


def test_what_was_cut_short_is_not_restored(store: DirectoryStore, copy: DirectoryStore, back: DirectoryStore) -> None:
    with pytest.raises(StoreError, match=r"not a backup: there is no backup\.json"):
        restore_backup(store, back)
    make_backup(store, copy)
    record = json.loads(copy.read(RECORD))
    copy.write(RECORD, json.dumps(record | {"finished_at": None}).encode())
    with pytest.raises(StoreError, match="cut short"):
        restore_backup(copy, back)
    assert everything_in(back) == {}


def test_a_damaged_copy_is_noticed(store: DirectoryStore, copy: DirectoryStore, back: DirectoryStore) -> None:
    make_backup(store, copy)
    copy.write("versions/4/model.onnx", b"damaged")
    with pytest.raises(StoreError, match="damaged"):
        restore_backup(copy, back)


FILES = ("model.onnx", "manifest.json", "exemplars.safetensors")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("now", [None, b"{}", b"cut"])
def test_what_the_store_lost_of_a_version_stays_in_the_copy(
    store: DirectoryStore, copy: DirectoryStore, back: DirectoryStore, name: str, now: bytes | None
) -> None:
    """It may be the last one: a backup every night must not throw it away."""
    key = f"versions/4/{name}"
    make_backup(store, copy)
    whole = everything_in(store)
    if now is None:
        store.delete(key)
    else:
        store.write(key, now)
    for _ in range(2):
        again = make_backup(store, copy)
        assert (again.lost, again.removed) == ([key], 0)
    assert restore_backup(copy, back).version == 4
    assert everything_in(back)[key] == whole[key]


def test_what_was_put_back_is_copied_and_no_longer_told(store: DirectoryStore, copy: DirectoryStore) -> None:
    key = "versions/4/model.onnx"
    make_backup(store, copy)
    store.delete(key)
    assert make_backup(store, copy).lost == [key]
    store.write(key, copy.read(key))
    assert make_backup(store, copy).lost == []


def test_a_version_that_was_removed_leaves_the_copy_whole(store: DirectoryStore, copy: DirectoryStore) -> None:
    make_backup(store, copy)
    VersionRemover(VersionStore(store)).remove({1: "old"})
    store.delete("versions/3/manifest.json")  # of a removal that was cut short, or by hand
    again = make_backup(store, copy)
    assert again.lost == []
    assert not [key for key in everything_in(copy) if key.startswith("versions/1/")]
    assert "versions/3/manifest.json" not in everything_in(copy)
    assert "versions/4/model.onnx" in everything_in(copy)


DOCUMENTS = ("evaluation", "manifest")


@pytest.mark.parametrize("key", [f"versions/{number}/{name}.json" for number in (3, 4) for name in DOCUMENTS])
@pytest.mark.parametrize("now", [None, b"cut"])
def test_what_the_store_lacks_at_its_first_backup_is_told(
    store: DirectoryStore, copy: DirectoryStore, key: str, now: bytes | None
) -> None:
    """Each time, until it is put back; nothing tells a version without a manifest from one that is being written."""
    whole = store.read(key)
    store.delete(key) if now is None else store.write(key, now)
    told = [] if now is None and key == "versions/3/manifest.json" else [key]
    for _ in range(2):
        made = make_backup(store, copy)
        assert (made.absent, made.lost) == (told, [])
    store.write(key, whole)
    assert make_backup(store, copy).absent == []
    assert everything_in(copy)[key] == whole


def test_what_was_damaged_and_then_lost_is_in_neither_place(store: DirectoryStore, copy: DirectoryStore) -> None:
    key = "versions/4/model.onnx"
    store.write(key, b"cut")
    make_backup(store, copy)
    store.delete(key)
    made = make_backup(store, copy)
    assert (made.absent, made.lost) == ([key], [])


def test_a_version_that_comes_or_goes_meanwhile_is_not_incomplete(
    store: DirectoryStore, copy: DirectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One is removed after its manifest was copied and before the rest; of one a file came after it was listed."""
    late = store.read("versions/3/config.yaml")
    for key in ("versions/1/config.yaml", "versions/3/config.yaml"):
        store.delete(key)
    once = iter([True])

    def change() -> None:
        if next(once, False):
            VersionRemover(VersionStore(store)).remove({1: "old"})
            store.write("versions/3/config.yaml", late)

    moving(store, monkeypatch, change, POINTER)
    assert make_backup(store, copy).absent == []
    assert everything_in(copy)["versions/3/config.yaml"] == late


def test_a_backup_that_lacks_files_of_versions_says_so_when_it_is_restored(
    store: DirectoryStore, copy: DirectoryStore, back: DirectoryStore
) -> None:
    store.delete("versions/3/evaluation.json")
    make_backup(store, copy)
    assert restore_backup(copy, back).absent == ["versions/3/evaluation.json"]
