"""What a power cut leaves of a folder store: contents are synced before they get their name, names right after."""

import os
from pathlib import Path

import pytest

from model_store.directory.directory_store import DirectoryStore

Events = list[tuple[str, bool]]


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    store = DirectoryStore(tmp_path / "store")
    store.write("incoming/ant/1.png", b"one")
    store.write("incoming/ant/2.png", b"two")
    store.write("archive/ant/0.png", b"zero")
    return store


@pytest.fixture
def events(store: DirectoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Events:
    """(what was synced: "content" or a folder, whether ``archive/ant/1.png`` was there then)."""
    seen: Events = []
    sync = os.fsync

    def observed(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        root = tmp_path / "store"
        seen.append(
            (str(path.relative_to(root)) if path.is_dir() else "content", (root / "archive/ant/1.png").exists())
        )
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", observed)
    return seen


def test_a_write(store: DirectoryStore, events: Events) -> None:
    store.write("archive/ant/1.png", b"one")
    assert events == [("content", False), ("archive/ant", True)]


def test_folders_that_are_new(store: DirectoryStore, events: Events) -> None:
    store.write("archive/bee/deep/1.png", b"one")
    assert events == [("content", False), *((name, False) for name in ("archive", "archive/bee", "archive/bee/deep"))]


def test_a_file_that_is_created_once(store: DirectoryStore, events: Events, tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"one")
    store.upload("archive/ant/1.png", tmp_path / "one", only_if_absent=True)
    assert events == [("content", False), ("archive/ant", True)]


@pytest.mark.parametrize("exactly", [False, True])
def test_a_move(store: DirectoryStore, events: Events, *, exactly: bool) -> None:
    """The name it had goes for good, too: else a power cut would leave the image in two places."""
    tag = store.stat("incoming/ant/1.png").etag if exactly else None
    store.move("incoming/ant/1.png", "archive/ant/1.png", expected_etag=tag)
    assert events[0] == ("content", False)
    assert ("archive/ant", True) in events
    assert ("incoming/ant", True) in events
    assert events.index(("archive/ant", True)) < events.index(("incoming/ant", True))


def test_a_removal(store: DirectoryStore, events: Events) -> None:
    store.delete("incoming/ant/1.png")
    assert events == [("incoming/ant", False)]
    store.delete("incoming/ant/2.png")  # the last one: its folder goes, and the one above is synced
    assert events[-1] == ("incoming", False)
