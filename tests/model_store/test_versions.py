"""Versions, their pointer, and what happens when someone edits, truncates, removes or races."""

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from model_store.manifest import Manifest
from model_store.objects import ObjectNotFoundError, PreconditionFailedError, StoreError
from model_store.versions import CorruptVersionError, VersionNotFoundError, VersionStore
from tests.model_store.conftest import Place
from tests.support.documents import make_evaluation
from tests.support.stores.acted_on import Killed, versions_of
from tools.manifests import make_manifest

Publish = Callable[..., Manifest]


@pytest.fixture
def versions(place: Place) -> VersionStore:
    return VersionStore(place.store)


@pytest.fixture
def local(directory: Place) -> VersionStore:
    """In a folder only: for what does not depend on the store."""
    return VersionStore(directory.store)


def evaluation(version: int) -> bytes:
    return make_evaluation(version).model_dump_json().encode()


def test_the_whole_life(versions: VersionStore, publish: Publish, tmp_path: Path) -> None:
    assert versions.numbers() == []
    assert versions.next_number() == 1
    assert versions.current() is None
    first = publish(versions, {"model.onnx": b"one", "evaluation.json": evaluation(1)})
    assert versions.manifest(1) == first
    assert first.files["model.onnx"].size == 3
    assert versions.evaluation(1).history == (0.9,)
    assert versions.current() is None  # publishing and pointing are two steps
    assert versions.point_to(1, "first").previous is None
    publish(versions)
    pointer = versions.point_to(2, "learnt")
    assert (pointer.version, pointer.previous, pointer.reason) == (2, 1, "learnt")
    assert versions.current() == pointer
    assert versions.numbers() == [1, 2]
    back = versions.rollback(1)
    assert (back.version, back.previous) == (1, 2)
    assert versions.current() == back
    assert versions.next_number() == 3
    versions.fetch(1, tmp_path, ["model.onnx"])
    assert (tmp_path / "model.onnx").read_bytes() == b"one"


class TestNumbers:
    def test_of_a_half_written_version_is_not_used_again(self, versions: VersionStore, place: Place) -> None:
        place.put("versions/7/model.onnx", b"half")
        place.put("versions/notes/x", b"")
        place.put("versions/007/x", b"")
        assert versions.numbers() == []
        assert versions.next_number() == 8

    def test_of_the_pointer_is_not_used_again(self, versions: VersionStore, publish: Publish, place: Place) -> None:
        publish(versions)
        versions.point_to(1, "x")
        for name in ("manifest.json", "claim.json", "model.onnx", "checkpoint.safetensors"):
            place.remove(f"versions/1/{name}")
        assert versions.numbers() == []
        assert versions.next_number() == 2

    def test_sort_as_numbers(self, local: VersionStore, directory: Place, publish: Publish) -> None:
        directory.put("versions/8/x", b"")
        publish(local)
        publish(local)
        assert local.numbers() == [9, 10]


class TestPublishing:
    def test_again_changes_nothing(self, versions: VersionStore, tmp_path: Path) -> None:
        (tmp_path / "model.onnx").write_bytes(b"1")
        manifest, files = make_manifest(1), {"model.onnx": tmp_path / "model.onnx"}
        first = versions.publish(manifest, files)
        assert versions.publish(manifest, files) == first

    def test_a_crash_before_the_manifest_is_completed_by_the_same_update(
        self, local: VersionStore, directory: Place, tmp_path: Path
    ) -> None:
        (tmp_path / "model.onnx").write_bytes(b"1")
        manifest, files = make_manifest(1), {"model.onnx": tmp_path / "model.onnx"}

        def die(name: str, _key: str) -> None:
            if name == "move":
                raise Killed

        with pytest.raises(Killed):
            versions_of(directory.store, die).publish(manifest, files)
        assert local.numbers() == []
        local.publish(manifest, files)
        assert local.verify(1).files["model.onnx"].size == 1

    def test_versions_are_immutable(self, versions: VersionStore, tmp_path: Path) -> None:
        (tmp_path / "model.onnx").write_bytes(b"1")
        files = {"model.onnx": tmp_path / "model.onnx"}
        versions.publish(make_manifest(1), files)
        (tmp_path / "model.onnx").write_bytes(b"2")
        with pytest.raises(PreconditionFailedError, match="next number"):
            versions.publish(make_manifest(1), files)
        with pytest.raises(PreconditionFailedError, match="next number"):
            versions.publish(make_manifest(1, update_id="another"), files)
        versions.verify(1)

    @pytest.mark.usefixtures("several_writers")
    def test_two_updaters_never_mix_their_files(self, versions: VersionStore, tmp_path: Path) -> None:
        barrier = threading.Barrier(4)

        def attempt(number: int) -> bool:
            path = tmp_path / f"model-{number}"
            path.write_bytes(b"%d" % number * 1000)
            barrier.wait()
            try:
                versions.publish(make_manifest(1, update_id=f"u{number}"), {"model.onnx": path})
            except PreconditionFailedError:
                return False
            return True

        with ThreadPoolExecutor(4) as pool:
            assert sum(pool.map(attempt, range(4))) == 1
        versions.verify(1)

    @pytest.mark.parametrize("name", ["manifest.json", "claim.json", "../model.onnx", "a/b", "", ".hidden"])
    def test_only_plain_names(self, local: VersionStore, tmp_path: Path, name: str) -> None:
        (tmp_path / "x").touch()
        with pytest.raises(ValueError, match="plain file names"):
            local.publish(make_manifest(1), {name: tmp_path / "x"})

    def test_a_file_that_is_not_there(self, local: VersionStore, tmp_path: Path) -> None:
        with pytest.raises(StoreError, match="check that it exists"):
            local.publish(make_manifest(1), {"model.onnx": tmp_path / "none"})
        assert local.next_number() == 1


class TestPointing:
    def test_to_nothing_is_refused(self, versions: VersionStore, publish: Publish) -> None:
        publish(versions)
        for call in (lambda: versions.point_to(2, "x"), lambda: versions.rollback(2)):
            with pytest.raises(VersionNotFoundError, match=r"no version 2 .* there are: 1"):
                call()
        assert versions.current() is None

    def test_to_where_it_points_changes_nothing(self, local: VersionStore, publish: Publish) -> None:
        publish(local)
        pointer = local.point_to(1, "first")
        assert local.point_to(1, "again") == pointer
        assert local.rollback(1) == pointer

    @pytest.mark.usefixtures("several_writers")
    def test_one_of_two_wins(self, versions: VersionStore, publish: Publish) -> None:
        for _ in range(5):
            publish(versions)
        versions.point_to(5, "start")
        barrier = threading.Barrier(4)

        def attempt(number: int) -> int:
            barrier.wait()
            try:
                return versions.point_to(number, f"writer {number}").previous or 0
            except PreconditionFailedError:
                return 0

        with ThreadPoolExecutor(4) as pool:
            previous = [found for found in pool.map(attempt, range(1, 5)) if found]
        assert previous  # each that succeeded saw the one before it: the chain has no two with one predecessor
        assert len(set(previous)) == len(previous)

    def test_rollback_to_a_damaged_version_is_refused(
        self, versions: VersionStore, publish: Publish, place: Place
    ) -> None:
        publish(versions)
        publish(versions)
        pointer = versions.point_to(2, "x")
        place.put("versions/1/checkpoint.safetensors", b"weightz")
        with pytest.raises(CorruptVersionError, match=r"versions/1/checkpoint\.safetensors"):
            versions.rollback(1)
        assert versions.current() == pointer

    @pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"version": 0}', b"\xff\xfe"])
    def test_a_damaged_pointer_is_named_and_can_be_replaced(
        self, local: VersionStore, publish: Publish, directory: Place, content: bytes
    ) -> None:
        publish(local)
        directory.put("versions/current.json", content)
        with pytest.raises(CorruptVersionError, match=r"versions/current\.json.*lucir rollback"):
            local.current()
        assert local.next_number() == 2
        assert local.rollback(1).version == 1
        assert local.current() is not None


class TestDamage:
    def edit(self, directory: Place, **fields: Any) -> None:
        data = json.loads(directory.store.read("versions/1/manifest.json"))
        directory.put("versions/1/manifest.json", json.dumps(data | fields).encode())

    @pytest.mark.parametrize("content", [b"", b'{"format": 1, "ver', b"null", b"\0" * 100, b"[" * 100_000])
    def test_a_truncated_manifest(
        self, local: VersionStore, publish: Publish, directory: Place, content: bytes
    ) -> None:
        publish(local)
        directory.put("versions/1/manifest.json", content)
        for call in (local.manifest, local.evaluation, local.verify, local.rollback, lambda n: local.point_to(n, "x")):
            with pytest.raises(CorruptVersionError, match=r"versions/1/manifest\.json.*lucir rollback"):
                call(1)

    @pytest.mark.parametrize(
        "fields",
        [
            {"version": 2},
            {"version": "one"},
            {"classes": ["alone"]},
            {"files": {"../../outside": {"size": 1, "sha256": "0" * 64}}},
            {"files": {"model.onnx": {"size": -1, "sha256": "0" * 64}}},
            {"files": {"model.onnx": {"size": 1, "sha256": "x"}}},
        ],
    )
    def test_an_edited_manifest(
        self, local: VersionStore, publish: Publish, directory: Place, fields: dict[str, Any]
    ) -> None:
        publish(local)
        self.edit(directory, **fields)
        with pytest.raises(CorruptVersionError, match=r"versions/1/manifest\.json"):
            local.manifest(1)

    @pytest.mark.parametrize("content", [b"mode", b"model 1 and more", b"model 2", b"", None])
    def test_a_damaged_model(
        self, versions: VersionStore, publish: Publish, place: Place, tmp_path: Path, content: bytes | None
    ) -> None:
        publish(versions)
        if content is None:
            place.remove("versions/1/model.onnx")
        else:
            place.put("versions/1/model.onnx", content)
        folder = tmp_path / "fetched"
        folder.mkdir()
        (folder / "model.onnx").write_bytes(b"before")
        for call in (lambda: versions.fetch(1, folder, ["model.onnx"]), lambda: versions.verify(1)):
            with pytest.raises(CorruptVersionError, match=r"versions/1/model\.onnx.*lucir rollback"):
                call()
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == {"model.onnx": b"before"}

    def test_a_name_that_a_version_never_had(self, local: VersionStore, publish: Publish, tmp_path: Path) -> None:
        publish(local)
        with pytest.raises(ObjectNotFoundError, match=r"holdout\.safetensors.*model\.onnx"):
            local.fetch(1, tmp_path, ["holdout.safetensors"])

    def test_an_edited_evaluation(self, local: VersionStore, publish: Publish, directory: Place) -> None:
        publish(local, {"evaluation.json": evaluation(1)})
        directory.put("versions/1/evaluation.json", evaluation(1).replace(b"0.9", b"1.0"))
        with pytest.raises(CorruptVersionError, match=r"versions/1/evaluation\.json"):
            local.evaluation(1)
