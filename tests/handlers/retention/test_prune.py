"""What the policy lets go and what it never does, on a real directory store."""

import dataclasses
import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from minio import Minio
from moto.server import ThreadedMotoServer

from handlers.bucket.update_documents import Done, Entry, FolderIntent, Plan
from handlers.bucket.updates import UpdateRecords
from handlers.retention.prune import Pruned, Retention
from handlers.settings import RetentionSettings, Settings
from handlers.stack.ports import free_ports
from model_store.connect import open_store
from model_store.directory.directory_store import DirectoryStore
from model_store.manifest import now
from model_store.objects import ObjectStore
from model_store.removal import VersionRemover
from model_store.versions import VersionStore
from tests.support.manifests import make_manifest
from tests.support.updater_process import start
from tests.support.waiting import wait_for

Publish = Callable[..., int]


@pytest.fixture
def versions(store: DirectoryStore) -> VersionStore:
    return VersionStore(store)


@pytest.fixture
def publish(versions: VersionStore, tmp_path: Path) -> Publish:
    """Publish a version made by the update of its number; ``days`` ago."""

    def run(*, point: bool = True, days: float = 1, **fields: Any) -> int:
        number = versions.next_number()
        file = tmp_path / "model"
        file.write_bytes(b"model %d" % number)
        pointer = versions.current()
        parent = pointer.version if pointer is not None else None
        facts = {"parent": parent, "created_at": now() - timedelta(days=days), **fields}
        versions.publish(make_manifest(number, **facts), {"model.onnx": file})
        if point:
            versions.point_to(number, "test")
        return number

    return run


@pytest.fixture
def record(store: DirectoryStore) -> Callable[..., None]:
    """Write the documents of an update that ended ``days`` ago, with an archived and a rejected original."""
    records = UpdateRecords(store)

    def entry(update: str, role: Any, prefix: str) -> Entry:
        target = f"{prefix}/{update}/cat/{role}.png"
        store.write(target, b"png")
        if role == "rejected":
            store.write(f"{target}.reason.json", b"{}")
        return Entry(
            key=f"incoming/cat/{role}.png",
            etag="e",
            size=3,
            modified=0.0,
            sha256="0" * 64,
            role=role,
            class_name="cat",
            reason=None,
            target=target,
        )

    def run(version: int | None, *, days: float = 1, ended: bool = True, parent: int | None = None) -> str:
        update = records.begin({"cat": FolderIntent(fingerprint="f", limit=5, marked=False)}).id
        entries = (entry(update, "train", "archive"), entry(update, "rejected", "rejected"))
        records.write_plan(
            Plan(
                id=update,
                created_at=now(),
                parent=parent,
                version=version,
                classes=("cat", "dog"),
                new_classes=(),
                updated_classes=("cat",),
                own_evaluation=(),
                resize=32,
                dropped_at=0.0,
                entries=entries,
            )
        )
        if ended:
            records.write_done(
                Done(
                    id=update,
                    result="published",
                    version=version,
                    reason=None,
                    finished_at=now() - timedelta(days=days),
                    images={"train": 1, "rejected": 1},
                    moved=2,
                    left=(),
                    timings={},
                )
            )
        return update

    return run


@pytest.fixture
def prune(store: DirectoryStore) -> Callable[..., Pruned]:
    def run(*, dry: bool = False, limit: int = 50, **policy: Any) -> Pruned:
        return Retention(store, RetentionSettings(**{"keep_versions": 2, **policy})).run(dry=dry, limit=limit)

    return run


Prune = Callable[..., Pruned]
Record = Callable[..., str]


class TestVersions:
    def test_the_oldest_go_and_leave_nothing(
        self, publish: Publish, prune: Prune, versions: VersionStore, root: Path
    ) -> None:
        for _ in range(5):
            publish()
        pruned = prune()
        assert pruned.versions == dict.fromkeys([1, 2, 3], "older than the 2 that are kept")
        assert versions.numbers() == versions.used() == [4, 5]
        assert sorted(path.name for path in (root / "versions").iterdir()) == ["4", "5", "current.json", "removed.json"]
        assert versions.next_number() == 6
        assert prune().versions == {}

    def test_the_audit_trail(self, publish: Publish, prune: Prune, versions: VersionStore) -> None:
        for _ in range(4):
            publish()
        size = prune().size
        log = VersionRemover(versions).log()
        assert [(one.version, one.update_id, one.files) for one in log.removed] == [
            (1, "000001", ("model.onnx",)),
            (2, "000002", ("model.onnx",)),
        ]
        assert log.pending == ()
        assert size == sum(one.size for one in log.removed) == 14

    def test_a_dry_run_only_tells(self, publish: Publish, prune: Prune, versions: VersionStore, root: Path) -> None:
        for _ in range(4):
            publish()
        before = sorted(root.rglob("*"))
        pruned = prune(dry=True)
        assert list(pruned.versions) == [1, 2]
        assert pruned.size == 14
        assert set(pruned.kept) == {3, 4}
        assert sorted(root.rglob("*")) == before

    def test_the_served_one_its_parent_and_its_line_stay_after_a_rollback(
        self, publish: Publish, prune: Prune, versions: VersionStore
    ) -> None:
        for _ in range(9):
            publish()
        versions.rollback(4)
        pruned = prune(keep_versions=3)
        # 4 is served, 3 its parent, 2 still of its line; 9 was served before; 7, 8 and 9 are the newest.
        assert versions.numbers() == [2, 3, 4, 7, 8, 9]
        assert pruned.kept[4] == "served"
        assert "parent" in pruned.kept[3]
        assert "of the served line" in pruned.kept[2]
        assert "highest number" in pruned.kept[9]
        for number in versions.numbers():
            versions.rollback(number)

    def test_the_one_served_before_stays_though_it_is_old(
        self, publish: Publish, prune: Prune, versions: VersionStore
    ) -> None:
        for number in range(1, 8):
            publish(parent=None if number != 7 else 6)
        versions.rollback(1)
        versions.rollback(7)
        prune()
        assert versions.numbers() == [1, 6, 7]

    def test_recent_refused_ones_stay(self, publish: Publish, prune: Prune, versions: VersionStore) -> None:
        """They were never pointed to; a person may still force them."""
        for _ in range(4):
            publish()
        for _ in range(2):
            publish(point=False)
        prune()
        assert versions.numbers() == [3, 4, 5, 6]
        versions.rollback(5)

    def test_the_highest_number_is_never_used_again(
        self, publish: Publish, prune: Prune, versions: VersionStore, store: DirectoryStore
    ) -> None:
        for _ in range(3):
            publish()
        store.write("versions/9/claim.json", b'{"update_id": "000000"}')
        prune()
        assert versions.used() == [2, 3, 9]
        assert versions.next_number() == 10

    def test_young_ones_stay(self, publish: Publish, prune: Prune, versions: VersionStore) -> None:
        for days in (40, 20, 10, 5, 4, 3):
            publish(days=days)
        prune(keep_days=15)
        assert versions.numbers() == [3, 4, 5, 6]

    def test_provisional_ones_go_first_and_are_none_of_the_counted(
        self, publish: Publish, prune: Prune, versions: VersionStore, record: Record
    ) -> None:
        for parent in (None, 1, 3):
            publish(parent=parent)
            publish(parent=parent, kind="provisional")
        publish(parent=5)
        assert list(prune(limit=2).versions) == [2, 4]
        prune(keep_days=30)
        # 6 is provisional, but was served before 7.
        assert versions.numbers() == [1, 3, 5, 6, 7]
        publish(parent=7)
        assert list(prune(keep_days=30).versions) == [6]

    def test_what_an_unfinished_update_needs_stays(
        self, publish: Publish, prune: Prune, versions: VersionStore, record: Record
    ) -> None:
        for _ in range(6):
            publish(update_id="000000")
        publish(update_id="000001", kind="provisional")
        versions.rollback(6)
        versions.rollback(5)
        record(8, ended=False, parent=1)
        prune()
        assert versions.numbers() == [1, 4, 5, 6, 7]

    def test_a_damaged_one_is_left_to_a_person(
        self, publish: Publish, prune: Prune, versions: VersionStore, root: Path
    ) -> None:
        for _ in range(4):
            publish()
        (root / "versions/1/manifest.json").write_text("{")
        pruned = prune()
        assert list(pruned.versions) == [2]
        assert "damaged" in pruned.kept[1]
        assert (root / "versions/1/model.onnx").exists()

    @pytest.mark.parametrize("pointer", ["{", '{"version": 9, "previous": null, "reason": "", "changed_at": 0}'])
    def test_a_pointer_that_is_damaged_or_leads_nowhere_removes_nothing_it_could_mean(
        self, publish: Publish, prune: Prune, versions: VersionStore, root: Path, pointer: str
    ) -> None:
        for _ in range(4):
            publish()
        (root / "versions/current.json").write_text(pointer)
        try:
            prune()
        except Exception as error:  # noqa: BLE001 (which one is asserted)
            assert "current.json is damaged" in str(error)  # noqa: PT017
            assert versions.numbers() == [1, 2, 3, 4]
        else:
            assert versions.numbers() == [3, 4]

    def test_what_others_put_there_is_left_and_reported(
        self, publish: Publish, prune: Prune, store: DirectoryStore, root: Path
    ) -> None:
        for _ in range(3):
            publish()
        store.write("versions/1/notes.txt", b"mine")
        store.write("versions/1/deep/model.onnx", b"mine")
        store.write("versions/notes/1/model.onnx", b"mine")
        assert prune().foreign == ["versions/1/deep/model.onnx", "versions/1/notes.txt"]
        left = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
        assert {"versions/1/notes.txt", "versions/1/deep/model.onnx", "versions/notes/1/model.onnx"} <= left
        assert "versions/1/model.onnx" not in left

    def test_what_a_killed_upload_left_goes_once_its_update_is_over(
        self, publish: Publish, prune: Prune, store: DirectoryStore, record: Record, versions: VersionStore
    ) -> None:
        record(1)
        record(3, ended=False)
        for number, update in ((1, "000001"), (2, "000002"), (3, "000009"), (4, "x")):
            store.write(f"versions/{number}/claim.json", json.dumps({"update_id": update}).encode())
            store.write(f"versions/{number}/model.onnx", b"half")
        store.write("versions/5/model.onnx", b"nobody's")
        publish()
        assert prune().unfinished == [1]
        assert versions.used() == [2, 3, 4, 5, 6]


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
    bucket = open_store("s3://lucir", endpoint=f"http://127.0.0.1:{port}", access_key="key", secret_key="secret")
    for info in store.list(""):
        bucket.write(info.key, store.read(info.key))
    return bucket


@pytest.mark.slow
def test_the_updater_prunes_when_an_update_has_ended(
    settings: Settings, publish: Publish, versions: VersionStore, root: Path
) -> None:
    for _ in range(5):
        publish(point=False)
    (port,) = free_ports(1)
    changes = {"retention": RetentionSettings(keep_versions=3)}
    updater = settings.updater.model_copy(update={"port": port})
    process = start(settings.model_copy(update={**changes, "updater": updater}))
    try:
        for name in ("cat", "dog"):
            (root / "incoming" / name).mkdir(parents=True)
            for number in range(5):
                (root / "incoming" / name / f"{number}.png").write_bytes(f"no image {name} {number}".encode())
        wait_for(lambda: versions.numbers() == [3, 4, 5], process)
        assert UpdateRecords(versions.objects).done("000001") is not None
        assert [removal.version for removal in VersionRemover(versions).log().removed] == [1, 2]
    finally:
        process.terminate()
        process.wait(20)


def test_batches_end_where_one_run_does(publish: Publish, store: DirectoryStore, versions: VersionStore) -> None:
    for _ in range(9):
        publish()
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

    for _ in range(30):
        publish()
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
