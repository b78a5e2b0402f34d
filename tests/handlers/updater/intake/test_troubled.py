"""What is wrong with one object is a verdict of that object: the others are learnt, and it is tried again."""

import os
from pathlib import Path

import pytest

from handlers.settings import Settings
from handlers.updater.context.troubled import FIRST_PAUSE, LONGEST_PAUSE, Troubled
from handlers.updater.intake.listing import scan
from handlers.updater.intake.originals import move_all
from model_store.directory import tree
from model_store.directory.directory_store import DirectoryStore
from model_store.objects import READ_LIMIT, StoreError, StoreUnavailableError
from tests.handlers.conftest import DigitFiles
from tests.handlers.updater.intake.conftest import ingest, put
from tests.handlers.updater.intake.test_left_alone import judged
from tests.support.clock import Clock


class Refusing(DirectoryStore):
    """Gives, and moves, everything but some keys: as a file without rights (which root reads all the same)."""

    refused: frozenset[str] = frozenset()
    kind: type[StoreError] = StoreError

    def read(self, key: str, *, limit: int = READ_LIMIT) -> bytes:
        self._check(key)
        return super().read(key, limit=limit)

    def move(self, source: str, target: str, *, expected_etag: str | None = None, only_if_absent: bool = False) -> None:
        self._check(source)
        super().move(source, target, expected_etag=expected_etag, only_if_absent=only_if_absent)

    def _check(self, key: str) -> None:
        if key in self.refused:
            raise self.kind(f"cannot read {key!r}: access denied")


@pytest.fixture
def images(root: Path, digit_files: DigitFiles) -> None:
    for digit, name in enumerate(("zero", "one")):
        put(root, {f"{name}/{index}.png": digit_files[digit][index] for index in range(6)})


@pytest.mark.usefixtures("images")
def test_one_object_that_cannot_be_read_holds_up_nobody(root: Path, settings: Settings, tmp_path: Path) -> None:
    store, clock = Refusing(root), Clock()
    troubled = Troubled(clock)
    store.refused = frozenset({"incoming/zero/3.png"})

    everything = {info.key for info in store.list("incoming/")}
    plan = ingest(store, settings, tmp_path / "work", troubled=troubled)
    assert {entry.key for entry in plan.entries} == everything - store.refused
    zero = scan(store, troubled)["zero"]
    assert (zero.images, zero.held, "access denied" in (zero.held_reason or "")) == (5, 1, True)
    store.refused = frozenset()
    assert scan(store, troubled)["zero"].held == 1
    clock.now += FIRST_PAUSE + 1
    assert scan(store, troubled)["zero"].held == 0


@pytest.mark.usefixtures("images")
def test_a_mended_object_is_tried_at_once(root: Path) -> None:
    store, troubled = DirectoryStore(root), Troubled()
    before = store.stat("incoming/zero/3.png")
    troubled.note(before.key, before.etag, "access denied")
    assert scan(store, troubled)["zero"].held == 1
    (root / before.key).chmod(0o600)
    assert scan(store, troubled)["zero"].held == 0


@pytest.mark.usefixtures("images")
def test_a_store_that_is_away_is_no_verdict(root: Path, settings: Settings, tmp_path: Path) -> None:
    store = Refusing(root)
    store.refused, store.kind = frozenset({"incoming/zero/3.png"}), StoreUnavailableError
    with pytest.raises(StoreUnavailableError):
        ingest(store, settings, tmp_path / "work")


@pytest.mark.usefixtures("images")
def test_one_object_that_cannot_be_moved_stays_alone(root: Path, settings: Settings, tmp_path: Path) -> None:
    store, troubled = Refusing(root), Troubled()
    plan = ingest(store, settings, tmp_path / "work")
    store.refused = frozenset({"incoming/zero/3.png"})
    moved, left = move_all(store, plan.entries, troubled)
    assert left == ["incoming/zero/3.png"]
    assert len(moved) == 11
    folder = scan(store, troubled)["zero"]
    assert (folder.images, folder.held) == (0, 1)


def test_pauses_grow_and_end() -> None:
    clock = Clock()
    troubled = Troubled(clock)
    pauses = []
    for _ in range(9):
        troubled.note("k", "e", "why")
        info = tree.ObjectInfo("k", 1, "e", 0.0)
        start = clock.now
        while troubled.waits(info) is not None:
            clock.now += 1
        pauses.append(clock.now - start)
    assert pauses[:3] == [FIRST_PAUSE, 2 * FIRST_PAUSE, 4 * FIRST_PAUSE]
    assert pauses[-1] == LONGEST_PAUSE
    assert troubled.waits(tree.ObjectInfo("k", 1, "other", 0.0)) is None


@pytest.mark.usefixtures("images")
def test_a_folder_that_cannot_be_entered_and_links_are_named(
    root: Path, store: DirectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(root, {"closed/1.png": b"", "one/closed/2.png": b""})
    (root / "incoming" / "linked").symlink_to(root / "incoming" / "zero")
    (root / "incoming" / "zero" / "link.png").symlink_to(root / "incoming" / "zero" / "1.png")
    os.mkfifo(root / "incoming" / "zero" / "pipe.png")
    scandir = os.scandir

    def closed(path: Path) -> object:
        if str(path).rstrip("/").endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", closed)
    states = judged(store)
    images = {name: state.folder.images for name, state in states.items()}
    assert images == {"closed": 0, "linked": 0, "one": 6, "zero": 6}
    assert [states[name].state for name in ("one", "zero")] == ["ready", "ready"]
    assert (states["one"].folder.held, states["zero"].folder.held) == (1, 2)
    assert "Permission denied" in states["closed"].reason
    assert "symbolic link" in states["linked"].reason
    with pytest.raises(StoreError, match="Permission denied"):
        list(store.list("incoming/"))
