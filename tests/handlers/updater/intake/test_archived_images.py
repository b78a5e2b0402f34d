"""Which images of earlier updates can be learnt, under the names that their classes have by now."""

import pytest

from handlers.bucket.edit_documents import EditRequest, Merge, Operation, Remove, Rename
from handlers.bucket.seen_images import Learnt, short
from handlers.bucket.update_documents import Result
from handlers.bucket.updates import UpdateRecords
from handlers.updater.intake.archived_images import (
    all_learnt,
    joining,
    left_behind,
    note_edited,
    note_learnt,
    note_refused,
    unlearnt_hashes,
)
from handlers.updater.intake.uploaded_file import UploadedFile
from model_store.directory.directory_store import DirectoryStore
from model_store.manifest import now
from tests.support.documents import make_done, make_entry, make_plan
from tests.support.stores.inspected import sha


def drop(store: DirectoryStore, records: UpdateRecords, name: str, contents: str, result: Result) -> None:
    """An update that archived one image per letter."""
    intent = records.begin({})
    entries = []
    for letter in contents:
        target = f"archive/{intent.id}/{name}/{letter}.png"
        store.write(target, letter.encode())
        key = f"incoming/{name}/{letter}.png"
        entries.append(make_entry(key, size=1, sha256=sha(letter), class_name=name, target=target))
    records.write_plan(make_plan(intent.id, tuple(entries), classes=(), new_classes=()))
    if result == "refused":
        note_refused(records, intent.id, [name])
    records.write_done(make_done(intent.id, result))


def edit(records: UpdateRecords, operation: Operation) -> None:
    request = EditRequest(id="000000-0000000000001-00000000", created_at=now(), operation=operation)
    intent = records.begin({}, request)
    note_edited(records, operation)
    records.write_done(make_done(intent.id))


def told(files: list[UploadedFile]) -> list[tuple[str | None, str]]:
    return [(file.class_name, file.key) for file in files]


@pytest.fixture
def records(store: DirectoryStore) -> UpdateRecords:
    """ "kat" was refused twice, renamed to "cat", and refused once more; "dog" was learnt."""
    made = UpdateRecords(store)
    drop(store, made, "dog", "xy", "published")
    drop(store, made, "kat", "ab", "refused")
    drop(store, made, "kat", "bc", "refused")
    edit(made, Rename(name="kat", to="cat"))
    drop(store, made, "cat", "d", "refused")
    return made


def test_what_was_refused_follows_its_class(store: DirectoryStore, records: UpdateRecords) -> None:
    assert records.refused() == {"cat": ("000002", "000003", "000005")}
    learnt = Learnt.empty().extended([sha("x"), sha("y"), sha("c")], ["dog"] * 3, ("dog",))
    store.delete("archive/000002/kat/a.png")
    found = joining(store, records, learnt, {"cat"}, 10)
    assert told(found) == [
        ("cat", "archive/000002/kat/b.png"),
        ("cat", "archive/000003/kat/b.png"),
        ("cat", "archive/000005/cat/d.png"),
    ]
    assert all(file.is_archived for file in found)
    assert unlearnt_hashes(records, learnt, "cat") == {short(sha(letter)) for letter in "abd"}
    assert told(joining(store, records, learnt, {"cat"}, 1)) == [("cat", "archive/000005/cat/d.png")]
    assert joining(store, records, learnt, {"cat"}, 0) == joining(store, records, learnt, {"dog"}, 10) == []
    assert told(left_behind(store, records, learnt, {"kat"})) == [
        ("kat", "archive/000002/kat/b.png"),
        ("kat", "archive/000003/kat/b.png"),
    ]
    edit(records, Merge(names=("cat", "dog"), into="pet"))
    assert records.refused() == {"pet": ("000002", "000003", "000005")}
    note_learnt(records, ["pet"])
    assert records.refused() == {}
    assert len(left_behind(store, records, learnt, {"pet"})) == 3, "asked for, they are found all the same"


def test_of_a_removed_class_nothing_joins_by_itself(records: UpdateRecords) -> None:
    edit(records, Remove(name="cat"))
    assert records.refused() == {}


def test_all_that_was_learnt_as_it_is_called_now(store: DirectoryStore, records: UpdateRecords) -> None:
    learnt = Learnt.empty().extended([sha(one) for one in "dyxz"], ["cat", "dog", "dog", "dog"], ("cat", "dog"))
    store.write("archive/000001/dog/x.png", b"another size")
    found, missing = all_learnt(store, records, learnt, lambda: None)
    assert told(found) == [("cat", "archive/000005/cat/d.png"), ("dog", "archive/000001/dog/y.png")]
    assert missing == {"dog": 2}
