"""Documents of an update that are written once: a second writer changes nothing."""

from pathlib import Path

import pytest

from handlers.bucket.update_documents import Attempts, FolderIntent
from handlers.bucket.updates import UpdateRecords
from model_store.directory.directory_store import DirectoryStore
from model_store.objects import PreconditionFailedError
from tests.support.documents import make_entry, make_plan


def intended(name: str) -> dict[str, FolderIntent]:
    return {name: FolderIntent(fingerprint="0", limit=1, marked=True)}


def test_of_two_updaters_that_begin_an_update_one_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = DirectoryStore(tmp_path)
    slow, quick = UpdateRecords(store), UpdateRecords(store)
    before = slow.latest()
    first = quick.begin(intended("cat"))
    monkeypatch.setattr(slow, "latest", lambda: before)  # it looked before the other one began
    with pytest.raises(PreconditionFailedError):
        slow.begin(intended("dog"))
    assert quick.intent("000001") == first


def test_a_plan_is_made_once(tmp_path: Path) -> None:
    records = UpdateRecords(DirectoryStore(tmp_path))
    plan = make_plan("000001")
    records.write_plan(plan)
    with pytest.raises(PreconditionFailedError):
        records.write_plan(make_plan("000001", classes=("cat", "dog")))
    assert records.plan("000001") == plan


@pytest.mark.parametrize("before", [None, Attempts(begun={"ingest": 1})], ids=["none yet", "one is there"])
def test_what_another_updater_has_counted_meanwhile_stays(tmp_path: Path, before: Attempts | None) -> None:
    records = UpdateRecords(DirectoryStore(tmp_path))
    anothers = Attempts(begun={"ingest": 1, "learn": 1}, epoch=2)
    if before is not None:
        records.revise_attempts("000001", lambda _: before)

    def slow(found: Attempts) -> Attempts:
        if found != anothers:
            records.revise_attempts("000001", lambda _: anothers)
        return Attempts(begun={"ingest": 2}, epoch=1)

    with pytest.raises(PreconditionFailedError):
        records.revise_attempts("000001", slow)
    assert records.attempts("000001") == anothers


def test_a_marker_stays_while_an_image_beside_it_is_to_be_learnt() -> None:
    entries = [
        make_entry(f"incoming/{name}/_READY", "marker", class_name=name, target=f"archive/2/{name}/_READY")
        for name in ("cat", "dog", "eel")
    ]
    entries += [
        make_entry("incoming/cat/1.png", "train", class_name="cat", target="archive/2/cat/1.png"),
        make_entry("incoming/dog/1.png", "rejected", class_name="dog", target="rejected/2/dog/1.png"),
        make_entry("archive/1/eel/1.png", "train", class_name="eel", target="archive/1/eel/1.png"),  # it joins
    ]
    idle = make_plan("000002", tuple(entries)).idle_markers()
    assert [entry.key for entry in idle] == ["incoming/dog/_READY", "incoming/eel/_READY"]
