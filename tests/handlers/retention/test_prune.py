"""Originals and documents of updates that are let go; a bucket, the updater, the cost of a run."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from minio import Minio
from moto.server import ThreadedMotoServer

from handlers.bucket.updates import UpdateRecords
from handlers.retention.prune import Retention
from handlers.settings import RetentionSettings, Settings
from model_store.connect import open_store
from model_store.directory.directory_store import DirectoryStore
from model_store.objects import ObjectStore
from model_store.versions import VersionStore
from tests.handlers.conftest import Launch
from tests.handlers.retention.conftest import Prune, Publish, Record
from tests.support.quick_settings import changed
from tests.support.waiting import wait_for


class TestOriginals:
    def test_stay_for_ever_by_default(self, record: Record, prune: Prune, root: Path) -> None:
        record(None, days=10_000)
        record(None)
        prune()
        assert len(list(root.glob("archive/*/cat/*"))) == len(list(root.glob("rejected/*/cat/*.png"))) == 2

    def test_go_by_age_when_that_is_configured(self, record: Record, prune: Prune, root: Path, store: Any) -> None:
        for days in (30, 20, 5):
            record(None, days=days)
        store.write("archive/000001/cat/mine.png", b"mine")
        store.write("archive/holiday/cat/mine.png", b"mine")
        pruned = prune(archive_days=10, rejected_days=25)
        assert pruned.originals == {"archive/000001": 1, "archive/000002": 1, "rejected/000001": 1}
        assert pruned.foreign == ["archive/000001/cat/mine.png"]
        left = {
            str(path.relative_to(root)) for folder in ("archive", "rejected") for path in root.glob(f"{folder}/*/cat/*")
        }
        assert left == {
            "archive/000001/cat/mine.png",
            "archive/holiday/cat/mine.png",
            "archive/000003/cat/train.png",
            *(
                f"rejected/{n}/cat/rejected.png{suffix}"
                for n in ("000002", "000003")
                for suffix in ("", ".reason.json")
            ),
        }

    def test_of_an_unfinished_update_stay(self, record: Record, prune: Prune, root: Path) -> None:
        record(1, days=30)
        record(2, ended=False)
        prune(archive_days=1)
        assert [path.parents[1].name for path in root.glob("archive/*/cat/*")] == ["000002"]


class TestRecords:
    def test_stay_while_what_they_tell_of_does(
        self, record: Record, publish: Publish, prune: Prune, root: Path
    ) -> None:
        for number in range(1, 5):
            record(number, days=200)
            publish()
        prune()
        assert len(list((root / "updates").iterdir())) == 4  # their originals are there
        pruned = prune(archive_days=100, rejected_days=100)
        assert pruned.records == ["000001", "000002"]  # versions 3 and 4 are there
        assert sorted(path.name for path in (root / "updates").iterdir()) == ["000003", "000004"]

    def test_the_newest_stays_and_young_ones(self, record: Record, prune: Prune, root: Path) -> None:
        for days in (300, 200, 100, 95):
            record(None, days=days)
        prune(archive_days=1, rejected_days=1, record_days=150)
        assert sorted(path.name for path in (root / "updates").iterdir()) == ["000003", "000004"]
        prune(archive_days=1, rejected_days=1, record_days=1)
        assert sorted(path.name for path in (root / "updates").iterdir()) == ["000004"]

    def test_a_document_of_somebody_else_is_left(self, record: Record, prune: Prune, root: Path, store: Any) -> None:
        record(None, days=300)
        record(None)
        store.write("updates/000001/notes.txt", b"mine")
        pruned = prune(archive_days=1, rejected_days=1)
        assert (pruned.records, pruned.foreign) == (["000001"], ["updates/000001/notes.txt"])
        assert [path.name for path in (root / "updates/000001").iterdir()] == ["notes.txt"]
        assert prune(archive_days=1, rejected_days=1).records == []


def test_a_bucket_is_pruned_as_a_folder_is(
    publish: Publish, record: Record, prune: Prune, store: DirectoryStore, root: Path
) -> None:
    for number in range(1, 6):
        record(number, days=200)
        publish(kind="provisional" if number == 2 else "learnt")
    VersionStore(store).rollback(1)
    for key in ("versions/2/notes.txt", "archive/000001/notes.txt", "updates/000003/notes.txt"):
        store.write(key, b"mine")
    store.write("versions/3/manifest.json", b"{")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        bucket = bucket_like(store, server.get_host_and_port()[1])
        policy = RetentionSettings(keep_versions=2, archive_days=1, rejected_days=1)
        pruned = Retention(bucket, policy).run()
        assert pruned == prune(archive_days=1, rejected_days=1)
        assert list(pruned.versions) == [2]
        contents = [[(info.key, info.size) for info in each.list("")] for each in (bucket, store)]
        assert [key for key in contents[0] if "removed" not in key[0]] == [
            k for k in contents[1] if "removed" not in k[0]
        ]
    finally:
        server.stop()


def bucket_like(store: DirectoryStore, port: int) -> ObjectStore:
    """A bucket with the same objects."""
    Minio(f"127.0.0.1:{port}", "key", "secret", secure=False, region="us-east-1").make_bucket("lucir")
    bucket = open_store("s3://lucir", endpoint=f"http://127.0.0.1:{port}", keys=lambda: ("key", "secret"))
    for info in store.list(""):
        bucket.write(info.key, store.read(info.key))
    return bucket


@pytest.mark.slow
def test_the_updater_prunes_when_an_update_has_ended(
    settings: Settings, publish: Publish, versions: VersionStore, root: Path, launch: Launch
) -> None:
    publish(5, point=False)
    process = launch(changed(settings, retention={"keep_versions": 3}))
    for name in ("cat", "dog"):
        (root / "incoming" / name).mkdir(parents=True)
        for number in range(5):
            (root / "incoming" / name / f"{number}.png").write_bytes(f"no image {name} {number}".encode())
    wait_for(lambda: versions.numbers() == [3, 4, 5], process)
    assert UpdateRecords(versions.objects).done("000001") is not None
    # The manifests go first, what went is noted last.
    wait_for(lambda: [entry.version for entry in versions.removals().removed] == [1, 2], process)


def test_batches_end_where_one_run_does(publish: Publish, store: DirectoryStore, versions: VersionStore) -> None:
    publish(9)
    retention = Retention(store, RetentionSettings(keep_versions=2))
    counts = [len(retention.run(limit=3).versions) for _ in range(4)]
    assert counts == [3, 3, 1, 0]
    assert versions.numbers() == [8, 9]


def test_a_run_costs_few_calls_however_many_versions_are_kept(publish: Publish, store: DirectoryStore) -> None:
    calls: list[str] = []

    class Counting:
        def __getattr__(self, name: str) -> Any:
            calls.append(name)
            return getattr(store, name)

    publish(30)
    retention = Retention(Counting(), RetentionSettings(keep_versions=2, keep_days=100))  # type: ignore[arg-type]  # it answers by __getattr__
    assert not retention.run().anything
    assert calls.count("read") < 10
    assert calls.count("stat") == 0
    calls.clear()
    retention.run()
    assert calls.count("read") <= 2
    assert len(calls) < 12


def test_dry_runs_and_real_ones_agree(publish: Publish, record: Record, prune: Prune) -> None:
    for number in range(1, 6):
        record(number, days=200)
        publish()
    told = prune(dry=True, archive_days=1, rejected_days=1)
    done = prune(archive_days=1, rejected_days=1)
    assert dataclasses.asdict(told) | {"records": []} == dataclasses.asdict(done) | {"records": []}
    assert set(told.records) <= set(done.records)
