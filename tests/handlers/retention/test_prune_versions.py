"""Which versions the policy lets go and which it never does, on a real directory store."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from handlers.retention.prune import Retention
from handlers.settings import RetentionSettings
from model_store.directory.directory_store import DirectoryStore
from model_store.objects import PreconditionFailedError
from model_store.versions import VersionStore
from tests.handlers.retention.conftest import Prune, Publish, Record
from tests.support.stores.old_listing import OldListings
from tools.manifests import make_manifest


class TestVersions:
    def test_the_oldest_go_and_leave_nothing(
        self, publish: Publish, prune: Prune, versions: VersionStore, root: Path
    ) -> None:
        publish(5)
        pruned = prune()
        assert pruned.versions == dict.fromkeys([1, 2, 3], "older than the 2 that are kept")
        assert versions.numbers() == versions.used() == [4, 5]
        assert sorted(path.name for path in (root / "versions").iterdir()) == ["4", "5", "current.json", "removed.json"]
        assert versions.next_number() == 6
        assert prune().versions == {}

    def test_the_audit_trail(self, publish: Publish, prune: Prune, versions: VersionStore) -> None:
        publish(4)
        size = prune().size
        log = versions.removals()
        assert [(one.version, one.update_id, one.files) for one in log.removed] == [
            (1, "000001", ("model.onnx",)),
            (2, "000002", ("model.onnx",)),
        ]
        assert log.pending == ()
        assert size == sum(one.size for one in log.removed) == 14

    def test_a_dry_run_only_tells(self, publish: Publish, prune: Prune, versions: VersionStore, root: Path) -> None:
        publish(4)
        before = sorted(root.rglob("*"))
        pruned = prune(dry=True)
        assert list(pruned.versions) == [1, 2]
        assert pruned.size == 14
        assert set(pruned.kept) == {3, 4}
        assert sorted(root.rglob("*")) == before

    def test_the_served_one_its_parent_and_its_line_stay_after_a_rollback(
        self, publish: Publish, prune: Prune, versions: VersionStore
    ) -> None:
        publish(9)
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

    def test_a_provisional_parent_of_the_served_one_stays(
        self, publish: Publish, prune: Prune, versions: VersionStore
    ) -> None:
        publish()
        publish(kind="provisional")
        publish(2)
        versions.rollback(3)
        prune()
        assert versions.numbers() == [1, 2, 3, 4]

    def test_the_one_served_before_stays_though_it_is_old(
        self, publish: Publish, prune: Prune, versions: VersionStore
    ) -> None:
        for number in range(1, 8):
            publish(parent=None if number != 7 else 6)
        versions.rollback(1)
        versions.rollback(7)
        pruned = prune()
        assert versions.numbers() == [1, 6, 7]
        assert pruned.kept[1] == "served before: a rollback goes there first"
        assert list(pruned.versions) == [2, 3, 4, 5]

    def test_recent_refused_ones_stay(self, publish: Publish, prune: Prune, versions: VersionStore) -> None:
        """They were never pointed to; a person may still force them."""
        publish(4)
        publish(2, point=False)
        prune()
        assert versions.numbers() == [3, 4, 5, 6]
        versions.rollback(5)

    def test_the_highest_number_is_never_used_again(
        self, publish: Publish, prune: Prune, versions: VersionStore, store: DirectoryStore
    ) -> None:
        publish(3)
        store.write("versions/9/claim.json", b'{"update_id": "000000"}')
        prune()
        assert versions.used() == [2, 3, 9]
        assert versions.next_number() == 10

    @pytest.mark.parametrize("behind", ["list", "folders"])
    def test_the_highest_number_stays_though_one_listing_is_too_old_to_show_it(
        self, publish: Publish, root: Path, versions: VersionStore, behind: str
    ) -> None:
        """Else the next update would give it to another version, which a removal that woke up late would empty."""
        publish(3)
        highest = publish(kind="provisional", point=False)
        old = OldListings(root, {highest}, {behind})
        Retention(old, RetentionSettings(keep_versions=2)).run()
        assert versions.numbers() == [2, 3, 4]
        assert versions.next_number() == 5

    def test_what_an_update_is_uploading_stays_though_the_first_listing_is_too_old_to_show_it(
        self, publish: Publish, root: Path, store: DirectoryStore, versions: VersionStore, record: Record
    ) -> None:
        record(1)
        under_way = record(3, ended=False)
        publish()
        for number in (2, 3):
            store.write(f"versions/{number}/claim.json", json.dumps({"update_id": under_way}).encode())

        class OldAtFirst(DirectoryStore):
            looks = 0

            def folders(self, prefix: str) -> Iterator[str]:
                self.looks += prefix == "updates/"
                return (name for name in super().folders(prefix) if self.looks > 1 or name != under_way)

        pruned = Retention(OldAtFirst(root), RetentionSettings(keep_versions=2)).run()
        assert pruned.unfinished == []
        assert versions.used() == [1, 2, 3]

    def test_young_ones_stay(self, publish: Publish, prune: Prune, versions: VersionStore) -> None:
        for days in (40, 20, 10, 5, 4, 3):
            publish(days=days)
        pruned = prune(keep_days=15)
        assert versions.numbers() == [3, 4, 5, 6]
        assert pruned.kept[3] == "younger than 15 days"

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
        publish(6, update_id="000000")
        publish(update_id="000001", kind="provisional")
        versions.rollback(6)
        versions.rollback(5)
        record(8, ended=False, parent=1)
        prune()
        assert versions.numbers() == [1, 4, 5, 6, 7]

    def test_a_damaged_one_is_left_to_a_person(
        self, publish: Publish, prune: Prune, versions: VersionStore, root: Path
    ) -> None:
        publish(4)
        (root / "versions/1/manifest.json").write_text("{")
        pruned = prune()
        assert list(pruned.versions) == [2]
        assert "damaged" in pruned.kept[1]
        assert (root / "versions/1/model.onnx").exists()

    def test_damaged_ones_are_named_wherever_they_stand(self, publish: Publish, prune: Prune, root: Path) -> None:
        publish(8)
        for number in (1, 6):  # below the first young one, and above it
            (root / f"versions/{number}/manifest.json").write_text("{")
        pruned = prune(keep_days=2)
        assert [number for number, why in pruned.kept.items() if "damaged" in why] == [6, 1]

    @pytest.mark.parametrize("pointer", ["{", '{"version": 9, "previous": null, "reason": "", "changed_at": 0}'])
    def test_a_pointer_that_is_damaged_or_leads_nowhere_removes_nothing_it_could_mean(
        self, publish: Publish, prune: Prune, versions: VersionStore, root: Path, pointer: str
    ) -> None:
        publish(4)
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
        publish(3)
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

    def test_the_late_claim_of_an_updater_that_slept_through_the_removal(
        self, publish: Publish, prune: Prune, store: DirectoryStore, record: Record, tmp_path: Path
    ) -> None:
        """It may not publish, and what it has claimed is not left behind: nor is the number used again."""
        for number in range(1, 5):
            record(number)
            publish()
        assert 1 in prune().versions
        VersionStore(store, lambda: 2).begin_epoch()
        late = VersionStore(store, lambda: 1)
        with pytest.raises(PreconditionFailedError, match="another updater has taken over"):
            late.publish(make_manifest(1), {"model.onnx": tmp_path / "model"})
        assert [info.key for info in store.list("versions/1/")] == ["versions/1/claim.json"]
        assert prune().unfinished == [1]
        assert list(store.list("versions/1/")) == []
        assert late.next_number() == 5

    @pytest.mark.parametrize("late", ["model.onnx", "attempt-1-ab/model.onnx", "attempt-1-ab/manifest.json"])
    def test_what_was_written_late_goes_and_what_others_put_there_stays(
        self, publish: Publish, prune: Prune, store: DirectoryStore, record: Record, late: str
    ) -> None:
        """By an updater that slept through the end, or the removal, of its version, and was killed when it woke."""
        for number in range(1, 5):
            record(number)
            publish()
        assert 1 in prune().versions
        before = [info.key for info in store.list("versions/")]
        store.write(f"versions/1/{late}", b"late")
        store.write("versions/4/attempt-1-ab/model.onnx", b"late")
        mine = ["versions/1/notes.txt", "versions/2/notes.txt", "versions/4/notes/attempt-1/model.onnx"]
        for key in mine:
            store.write(key, b"mine")
        assert prune(dry=True).unfinished == prune().unfinished == [1]
        assert [info.key for info in store.list("versions/")] == sorted([*before, *mine])
        assert prune().unfinished == []
