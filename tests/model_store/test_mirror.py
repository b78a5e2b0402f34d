"""The local copy of a version: whole or absent, repaired when damaged, left alone when intact."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from model_store.directory.directory_store import DirectoryStore
from model_store.local_files import record
from model_store.manifest import FileRecord, Manifest
from model_store.mirror import is_intact, mirror
from model_store.objects import StoreError
from model_store.versions import CorruptVersionError, VersionNotFoundError, VersionStore
from tests.model_store.conftest import Place

Publish = Callable[..., Manifest]


@pytest.fixture
def versions(directory: Place, publish: Publish) -> VersionStore:
    """Holds version 1, in a folder."""
    found = VersionStore(directory.store)
    publish(found)
    return found


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "models" / "1"


def add_archive_marks(folder: Path) -> None:
    (folder / "MAR-INF").mkdir()
    (folder / "MAR-INF/MANIFEST.json").write_text("{}")


def test_from_every_store(place: Place, publish: Publish, target: Path) -> None:
    versions = VersionStore(place.store)
    manifest = publish(versions)
    assert mirror(versions, 1, target) == target
    assert Manifest.model_validate_json((target / "manifest.json").read_bytes()) == manifest
    assert (target / "model.onnx").read_bytes() == b"model 1"
    assert not (target / "checkpoint.safetensors").exists()
    assert [path.name for path in target.parent.iterdir()] == ["1"]


def test_what_lies_here_is_linked_and_verified_all_the_same(
    versions: VersionStore, directory: Place, target: Path, tmp_path: Path
) -> None:
    made = tmp_path / "made.onnx"
    made.write_bytes(b"model 1")
    directory.remove("versions/1/model.onnx")  # nothing is downloaded
    mirror(versions, 1, target, here={"model.onnx": made})
    assert (target / "model.onnx").stat().st_ino == made.stat().st_ino
    shutil.rmtree(target)
    made.write_bytes(b"another")
    with pytest.raises(StoreError, match="changed after it was stored"):
        mirror(versions, 1, target, here={"model.onnx": made})
    assert not list(target.parent.iterdir())


def test_a_file_is_read_for_its_hash_once(
    versions: VersionStore, target: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    hashed: list[int] = []

    def counted(path: Path) -> FileRecord:
        hashed.append(path.stat().st_size)
        return record(path)

    for module in ("mirror", "versions"):
        monkeypatch.setattr(f"model_store.{module}.record", counted)
    (tmp_path / "made").write_bytes(b"weights")
    names, here = ("model.onnx", "checkpoint.safetensors"), {"checkpoint.safetensors": tmp_path / "made"}
    mirror(versions, 1, target, names, prepare=add_archive_marks, here=here)
    manifest = (target / "manifest.json").stat().st_size
    assert sorted(hashed) == sorted([len(b"model 1"), len(b"weights"), len("{}"), manifest])
    assert is_intact(target, versions.manifest(1), names)


def test_an_intact_copy_is_kept(versions: VersionStore, target: Path) -> None:
    mirror(versions, 1, target, prepare=add_archive_marks)
    before = {path: path.stat().st_ino for path in [target, *target.rglob("*")]}
    (target / "left-by-the-server").touch()
    mirror(versions, 1, target, prepare=add_archive_marks)
    assert before == {path: path.stat().st_ino for path in before}
    assert (target / "left-by-the-server").exists()


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "model.onnx").write_bytes(b"model 2"),
        lambda folder: (folder / "model.onnx").write_bytes(b"mod"),
        lambda folder: (folder / "model.onnx").unlink(),
        lambda folder: (folder / "manifest.json").write_bytes(b"{"),
        lambda folder: (folder / "mirror.json").unlink(),
        lambda folder: (folder / "mirror.json").write_bytes(b"[]"),
        lambda folder: (folder / "mirror.json").write_bytes(b'{"names": [], "files": {}}'),
        lambda folder: shutil.rmtree(folder / "MAR-INF"),
        lambda folder: (shutil.rmtree(folder), folder.write_bytes(b"a file")),
        lambda folder: (shutil.rmtree(folder), folder.symlink_to("/nowhere")),
    ],
)
def test_a_damaged_copy_is_replaced(versions: VersionStore, target: Path, damage: Callable[[Path], object]) -> None:
    mirror(versions, 1, target, prepare=add_archive_marks)
    damage(target)
    mirror(versions, 1, target, prepare=add_archive_marks)
    assert (target / "model.onnx").read_bytes() == b"model 1"
    assert (target / "MAR-INF/MANIFEST.json").exists()
    assert is_intact(target, versions.manifest(1))
    assert [path.name for path in target.parent.iterdir()] == ["1"]


def test_more_names_make_a_new_copy(versions: VersionStore, target: Path) -> None:
    mirror(versions, 1, target)
    mirror(versions, 1, target, names=("model.onnx", "checkpoint.safetensors"))
    assert (target / "checkpoint.safetensors").read_bytes() == b"weights"


def test_a_copy_of_another_store_is_replaced(
    versions: VersionStore, target: Path, tmp_path: Path, publish: Publish
) -> None:
    other = VersionStore(DirectoryStore(tmp_path / "other"))
    publish(other, {"model.onnx": b"other 1"})
    mirror(other, 1, target)
    mirror(versions, 1, target)
    assert (target / "model.onnx").read_bytes() == b"model 1"


def test_what_does_not_verify_never_arrives(versions: VersionStore, directory: Place, target: Path) -> None:
    directory.put("versions/1/model.onnx", b"model X")
    with pytest.raises(CorruptVersionError, match=r"model\.onnx"):
        mirror(versions, 1, target)
    assert not list(target.parent.iterdir())
    with pytest.raises(VersionNotFoundError):
        mirror(versions, 9, target)


def test_what_was_there_stays_when_the_new_one_fails(versions: VersionStore, directory: Place, target: Path) -> None:
    mirror(versions, 1, target)
    (target / "mirror.json").unlink()
    directory.put("versions/1/model.onnx", b"model X")
    with pytest.raises(CorruptVersionError):
        mirror(versions, 1, target)
    assert (target / "model.onnx").read_bytes() == b"model 1"


def test_a_preparation_that_fails_leaves_nothing(versions: VersionStore, target: Path) -> None:
    def fail(folder: Path) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(StoreError, match="free space"):
        mirror(versions, 1, target, prepare=fail)
    assert not list(target.parent.iterdir())


def test_what_crashed_mirrors_left_is_removed(versions: VersionStore, target: Path) -> None:
    target.parent.mkdir()
    old, young = target.parent / ".1.partial-aa", target.parent / ".1.partial-bb"
    old.mkdir()
    young.mkdir()
    os.utime(old, (1_000_000_000, 1_000_000_000))
    mirror(versions, 1, target)
    assert sorted(path.name for path in target.parent.iterdir()) == [".1.partial-bb", "1"]
