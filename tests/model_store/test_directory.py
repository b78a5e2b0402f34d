"""What only a folder can do to us: links, odd names, other people's rights, full disks, sudden death."""

import errno
import itertools
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model_store.directory.directory_store import DirectoryStore
from model_store.directory.staging import Staging
from model_store.local_files import make_folders
from model_store.objects import (
    InvalidKeyError,
    ObjectNotFoundError,
    PreconditionFailedError,
    StoreError,
    StoreUnavailableError,
)
from tests.support.waiting import wait_for

SEGMENT = (
    st.binary(min_size=1, max_size=40).filter(lambda name: b"/" not in name and b"\0" not in name).map(os.fsdecode)
)
KEYS = st.lists(SEGMENT.filter(lambda name: name not in {".", "..", ".lucir"}), min_size=1, max_size=4).map("/".join)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def store(root: Path) -> DirectoryStore:
    return DirectoryStore(root)


@given(key=KEYS, data=st.binary(max_size=100))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_bytes_make_a_key(key: str, data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = DirectoryStore(Path(folder))
        info = store.write(key, data)
        assert list(store.list("")) == [info]
        assert store.read(key) == data
        assert list(store.list(key[: len(key) // 2])) == [info]
        store.move(key, "moved/x")
        assert [found.key for found in store.list("")] == ["moved/x"]


@given(keys=st.sets(SEGMENT.filter(lambda name: name not in {".", ".."}), min_size=1, max_size=8))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_keys_come_in_the_order_of_their_bytes(keys: set[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for number, key in enumerate(sorted(keys)):
            path = Path(folder) / "in" / key
            if number % 2:
                path = path / "x"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"")
        found = [os.fsencode(info.key) for info in DirectoryStore(Path(folder)).list("in/")]
        assert found == sorted(found)
        assert len(found) == len(keys)


def test_an_error_about_an_odd_name_can_be_printed(store: DirectoryStore) -> None:
    with pytest.raises(ObjectNotFoundError) as caught:
        store.read("incoming/\udcff.png")
    str(caught.value).encode()


class TestLinks:
    def test_are_no_objects(self, store: DirectoryStore, root: Path, tmp_path: Path) -> None:
        (tmp_path / "secret").write_bytes(b"secret")
        (tmp_path / "folder").mkdir()
        (tmp_path / "folder/1.png").write_bytes(b"outside")
        store.write("incoming/cat/1.png", b"1")
        (root / "incoming/cat/link.png").symlink_to(tmp_path / "secret")
        (root / "incoming/dog").symlink_to(tmp_path / "folder")
        assert [info.key for info in store.list("")] == ["incoming/cat/1.png"]
        assert list(store.folders("incoming/")) == ["cat"]
        with pytest.raises(ObjectNotFoundError):
            store.stat("incoming/cat/link.png")
        with pytest.raises(StoreError, match="link"):
            store.read("incoming/cat/link.png")
        for call in (
            lambda: store.read("incoming/dog/1.png"),
            lambda: store.write("incoming/dog/2.png", b"2"),
            lambda: store.delete("incoming/dog/1.png"),
            lambda: store.move("incoming/dog/1.png", "archive/1.png"),
            lambda: store.move("incoming/cat/1.png", "incoming/dog/3.png"),
            lambda: list(store.list("incoming/dog/")),
        ):
            with pytest.raises(StoreError, match="symbolic link"):
                call()
        assert [path.name for path in (tmp_path / "folder").iterdir()] == ["1.png"]

    def test_writing_over_one_leaves_its_target_alone(self, store: DirectoryStore, root: Path, tmp_path: Path) -> None:
        (tmp_path / "outside").write_bytes(b"outside")
        (root / "a").symlink_to(tmp_path / "outside")
        with pytest.raises(PreconditionFailedError):
            store.write("a", b"1", only_if_absent=True)
        store.write("a", b"1")
        assert (tmp_path / "outside").read_bytes() == b"outside"
        assert store.read("a") == b"1"

    def test_the_root_itself_may_be_one(self, tmp_path: Path) -> None:
        (tmp_path / "real").mkdir()
        (tmp_path / "link").symlink_to(tmp_path / "real")
        DirectoryStore(tmp_path / "link").write("a/b", b"1")
        assert (tmp_path / "real/a/b").read_bytes() == b"1"

    def test_a_hard_link_of_the_target_is_moved_too(self, store: DirectoryStore, root: Path) -> None:
        store.write("a/1", b"1")
        (root / "b").mkdir()
        os.link(root / "a/1", root / "b/1")
        store.move("a/1", "b/1")
        assert [info.key for info in store.list("")] == ["b/1"]

    def test_a_pipe_blocks_nobody(self, store: DirectoryStore, root: Path) -> None:
        os.mkfifo(root / "pipe")
        assert not list(store.list(""))
        with pytest.raises(ObjectNotFoundError):
            store.read("pipe")


def test_a_copy_that_keeps_its_old_time_is_new(store: DirectoryStore, root: Path) -> None:
    started = time.time()
    (root / "incoming").mkdir()
    (root / "incoming/1.png").write_bytes(b"1")
    os.utime(root / "incoming/1.png", (1_000_000_000, 1_000_000_000))
    assert store.stat("incoming/1.png").modified >= started - 1


def test_files_that_vanish_while_listing_are_left_out(store: DirectoryStore, root: Path) -> None:
    for key in ("a/1", "a/2", "a/x/1", "b/1"):
        store.write(key, b"")
    listing = store.list("")
    assert next(listing).key == "a/1"
    (root / "a/2").unlink()
    (root / "a/x/1").unlink()
    (root / "a/x").rmdir()
    assert [info.key for info in listing] == ["b/1"]


def test_a_very_deep_folder_can_be_listed(store: DirectoryStore) -> None:
    key = "/".join(["d"] * 1100)  # deeper than Python's stack
    store.write(key, b"1")
    try:
        assert [info.key for info in store.list("")] == [key]
    finally:
        store.delete(key)  # and the folders: pytest cannot remove so deep a tree
    assert list(store.folders("d/")) == []


def test_emptied_folders_go_but_not_those_of_the_root(store: DirectoryStore, root: Path) -> None:
    store.write("incoming/cat/x/1.png", b"1")
    store.move("incoming/cat/x/1.png", "archive/1/cat/1.png")
    assert list(store.folders("incoming/")) == []
    assert (root / "incoming").is_dir()
    store.delete("archive/1/cat/1.png")
    assert sorted(store.folders("")) == ["archive", "incoming"]


def test_a_store_that_goes_away_is_not_made_anew_by_a_write(store: DirectoryStore, root: Path, tmp_path: Path) -> None:
    for number in range(100):
        store.write(f"a/{number}/0", b"x")
        with ThreadPoolExecutor(1) as pool:
            writer = pool.submit(write_on, store, f"a/{number}")
            wait_for(lambda number=number: (root / f"a/{number}/3").exists())  # type: ignore[misc]
            root.rename(tmp_path / "away")
            assert isinstance(writer.exception(), StoreUnavailableError)
        assert not root.exists(), number
        (tmp_path / "away").rename(root)


def write_on(store: DirectoryStore, folder: str) -> None:
    """New objects in new folders, until the store refuses one."""
    for number in itertools.count():
        store.write(f"{folder}/{number}", b"x")
        store.write(f"{folder}-{number}/deep/{number}", b"x")


def test_a_folder_is_not_made_where_the_one_above_is_gone(tmp_path: Path) -> None:
    root = tmp_path / "root"
    make_folders(tmp_path / "other" / "deep", below=tmp_path)
    assert (tmp_path / "other" / "deep").is_dir()
    with pytest.raises(StoreUnavailableError, match="is gone"):
        make_folders(root / "a" / "b", below=root)
    with pytest.raises(StoreUnavailableError, match="is gone"), Staging(root).temporary():
        pass
    with pytest.raises(StoreUnavailableError, match="is gone"), Staging(root).folders(exclusive=False):
        pass
    assert not root.exists()


def test_writers_and_tidiers_do_not_disturb_each_other(store: DirectoryStore) -> None:
    def work(name: str) -> None:
        with suppress(ObjectNotFoundError):
            for number in range(60):
                store.write(f"in/shared/{name}", b"%d" % number)
                store.delete(f"in/shared/{name}")

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(work, "123"))
    assert not list(store.list(""))


class TestConditions:
    def test_hold_where_there_are_no_hard_links(
        self, store: DirectoryStore, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: object) -> None:
            raise OSError(errno.EPERM, "no links here")

        monkeypatch.setattr(os, "link", refuse)
        store.write("a", b"1", only_if_absent=True)
        with pytest.raises(PreconditionFailedError):
            store.write("a", b"2", only_if_absent=True)
        assert store.read("a") == b"1"

    def test_see_what_people_put_there(self, store: DirectoryStore, root: Path) -> None:
        (root / "a").write_bytes(b"theirs")
        with pytest.raises(PreconditionFailedError):
            store.write("a", b"ours", only_if_absent=True)


class TestFailures:
    @pytest.mark.parametrize(
        ("code", "kind", "remedy"),
        [
            (errno.ENOSPC, StoreUnavailableError, "free space"),
            (errno.EDQUOT, StoreUnavailableError, "quota"),
            (errno.EIO, StoreUnavailableError, "check the disk"),
        ],
    )
    @pytest.mark.parametrize("call", ["fsync", "rename"])
    def test_a_write_that_fails_changes_nothing(
        self,
        store: DirectoryStore,
        root: Path,
        monkeypatch: pytest.MonkeyPatch,
        call: str,
        code: int,
        kind: type[StoreError],
        remedy: str,
    ) -> None:
        store.write("a/b", b"old")

        def fail(*_: object, **__: object) -> None:
            raise OSError(code, os.strerror(code))

        with monkeypatch.context() as patch:
            patch.setattr(*(("os.fsync", fail) if call == "fsync" else ("pathlib.Path.rename", fail)))
            with pytest.raises(kind, match=remedy) as caught:
                store.write("a/b", b"new")
        assert type(caught.value) is kind
        assert "a/b" in str(caught.value)
        assert store.read("a/b") == b"old"
        assert [info.key for info in store.list("")] == ["a/b"]
        assert not list((root / ".lucir/tmp").iterdir())

    def test_a_folder_without_rights(self) -> None:
        with _foreign_folder() as folder:
            store = DirectoryStore(folder)
            store.write("incoming/cat/1.png", b"1")
            for path in [folder, *folder.rglob("*")]:
                path.chmod(0o555 if path.is_dir() else 0o444)
            with _unprivileged():
                assert [info.key for info in store.list("")] == ["incoming/cat/1.png"]
                assert store.read("incoming/cat/1.png") == b"1"
                for call in (
                    store.check,
                    lambda: store.write("a", b"1"),
                    lambda: store.move("incoming/cat/1.png", "archive/1.png"),
                    lambda: store.delete("incoming/cat/1.png"),
                    lambda: DirectoryStore(folder / "below"),
                ):
                    with pytest.raises(StoreError, match="chown or chmod"):
                        call()
            (folder / "incoming/cat").chmod(0)
            with _unprivileged(), pytest.raises(StoreError, match="chown or chmod"):
                list(store.list(""))

    def test_files_and_names_in_the_way(self, store: DirectoryStore, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        store.write("a", b"1")
        store.write("c/d", b"1")
        for call, words in (
            (lambda: DirectoryStore(tmp_path / "file"), "file"),
            (lambda: DirectoryStore(tmp_path / "file" / "store"), "file"),
            (lambda: store.write("a/b", b"1"), "remove the file"),
            (lambda: store.write("c", b"1"), "folder"),
            (lambda: store.write("x" * 300, b"1"), "shorter name"),
            (lambda: store.write(".lucir/x", b"1"), "kept for the store"),
        ):
            with pytest.raises(StoreError, match=words):
                call()
        assert store.read("c/d") == b"1"

    def test_a_store_that_was_unmounted(self, store: DirectoryStore, root: Path) -> None:
        root.rename(root.with_name("elsewhere"))
        for call in (
            store.check,
            lambda: list(store.list("")),
            lambda: list(store.folders("")),
            lambda: store.read("a"),
            lambda: store.write("a", b"1"),
            lambda: store.move("a", "b"),
        ):
            with pytest.raises(StoreUnavailableError, match="mount it"):
                call()
        assert not root.exists()

    def test_temporary_files_of_the_dead_are_removed(self, store: DirectoryStore, root: Path) -> None:
        store.check()
        old, young = root / ".lucir/tmp/old", root / ".lucir/tmp/young"
        old.write_bytes(b"1")
        young.write_bytes(b"1")
        os.utime(old, (1_000_000_000, 1_000_000_000))
        store.check()
        assert not old.exists()
        assert young.exists()


def test_killed_at_any_moment_it_holds_the_old_or_the_new(store: DirectoryStore, root: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from model_store.directory.directory_store import DirectoryStore\n"
        "store = DirectoryStore(Path(sys.argv[1]))\n"
        "while True:\n"
        "    for byte in b'ab':\n"
        "        store.write('a/b', bytes([byte]) * 300_000); store.write('c/d', b'1'); store.move('c/d', 'e/f')\n"
        "        print('x', flush=True)\n"
    )
    store.write("a/b", b"a" * 300_000)
    store.write("e/f", b"1")
    for delay in (0.0, 0.003, 0.007):
        process = subprocess.Popen([sys.executable, "-c", program, root], stdout=subprocess.PIPE)
        with process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(delay)
            process.send_signal(signal.SIGKILL)
        assert store.read("a/b") in {b"a" * 300_000, b"b" * 300_000}
        assert {info.key for info in store.list("")} - {"c/d"} == {"a/b", "e/f"}
        store.write("a/b", b"a" * 300_000)  # a lock of the dead holds nobody up


@contextmanager
def _foreign_folder() -> Iterator[Path]:
    """A folder that an unprivileged user can reach."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        try:
            yield folder
        finally:
            for path in [folder, *folder.rglob("*")]:
                path.chmod(0o755)


@contextmanager
def _unprivileged() -> Iterator[None]:
    """Give up root's rights for a while, where the tests run as root: rights bind everybody else already."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize("key", ["a//b", "a/../b", "/a", "a/", "a\0b", "x" * 300, "\ufffdC3\ufffdA9"])
def test_what_no_file_can_be_called_is_told_from_a_broken_store(tmp_path: Path, key: str) -> None:
    store = DirectoryStore(tmp_path)
    for call in (store.stat, store.read, store.delete):
        with pytest.raises(InvalidKeyError):
            call(key)
