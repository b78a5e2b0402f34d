import hashlib
from pathlib import Path

import pytest

from handlers.updater import learnt as module
from handlers.updater.learnt import Learnt


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
