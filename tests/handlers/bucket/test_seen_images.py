import hashlib
from pathlib import Path

import pytest
from safetensors.numpy import save_file

from handlers.bucket import seen_images as module
from handlers.bucket.seen_images import Learnt
from lucir_core.edit.regroup import merging, removal


def sha(index: int) -> str:
    return hashlib.sha256(str(index).encode()).hexdigest()


def test_finds_what_was_added_with_its_class(tmp_path: Path) -> None:
    first = Learnt.empty().extended([sha(1), sha(2)], ["a", "b"], ("a", "b"))
    second = first.extended([sha(3)], ["c"], ("a", "b", "c"))
    second.save(tmp_path / "learnt.safetensors")
    loaded = Learnt.load(tmp_path / "learnt.safetensors")
    assert loaded.find([sha(2), sha(3), sha(4)]) == {sha(2): "b", sha(3): "c"}
    assert first.find([sha(3)]) == {}
    assert Learnt.empty().find([sha(1)]) == {}


def test_is_bounded_and_forgets_the_oldest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LIMIT", 3)
    found = Learnt.empty().extended([sha(i) for i in range(5)], ["a"] * 5, ("a",)).find(sha(i) for i in range(5))
    assert set(found) == {sha(2), sha(3), sha(4)}


def test_classes_keep_their_order() -> None:
    with pytest.raises(ValueError, match="begin with"):
        Learnt.empty().extended([sha(1)], ["a"], ("a",)).extended([], [], ("b", "a"))


def test_digests_travel_with_the_hashes_and_old_files_have_none(tmp_path: Path) -> None:
    path = tmp_path / "learnt.safetensors"
    Learnt.empty().extended([sha(1), sha(2)], ["a", "b"], ("a", "b"), {sha(2): b"d" * 16}).save(path)
    loaded = Learnt.load(path)
    assert loaded.digests_of([sha(1), sha(2), sha(3)]) == {b"d" * 16}
    old = {"hashes": loaded.hashes, "labels": loaded.labels}
    save_file(old, path, metadata={"classes": '["a", "b"]'})
    older = Learnt.load(path)
    assert older.digests_of([sha(2)]) == set()
    assert older.extended([sha(3)], ["a"], ("a", "b"), {sha(3): b"e" * 16}).digests_of([sha(3)]) == {b"e" * 16}


def test_forgets_images_and_follows_classes() -> None:
    known = Learnt.empty().extended([sha(i) for i in range(4)], ["a", "b", "c", "a"], ("a", "b", "c"))
    assert known.of_class("a") == {module.short(sha(0)), module.short(sha(3))}
    assert known.without([sha(0), sha(9)]).find(map(sha, range(4))) == {sha(1): "b", sha(2): "c", sha(3): "a"}
    gone = known.regrouped(removal(known.classes, "a"))
    assert gone.classes == ("b", "c")
    assert gone.find(map(sha, range(4))) == {sha(1): "b", sha(2): "c"}
    assert not gone.holds([module.short(sha(0))])
    joined = known.regrouped(merging(known.classes, ["a", "c"], "c"))
    assert joined.find(map(sha, range(4))) == {sha(0): "c", sha(1): "b", sha(2): "c", sha(3): "c"}
    with pytest.raises(ValueError, match="other classes"):
        gone.regrouped(removal(known.classes, "b"))
