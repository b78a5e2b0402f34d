"""What every object store must do, whatever stands behind it."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from model_store.objects import (
    ObjectInfo,
    ObjectNotFoundError,
    ObjectStore,
    ObjectTooLargeError,
    PreconditionFailedError,
    StoreError,
)
from tests.model_store.conftest import Place

NAMES = [
    "a b.png",
    "a+b.png",
    "a%20b.png",
    "ä€𝄞.png",
    "a&b=c;d.png",
    "a#b.png",
    "a?b.png",
    "'\"<>.png",
    "a\\b.png",
    "~.png",
]


def described(info: ObjectInfo) -> tuple[str, int, str]:
    """Without the time, which a server may round in one answer and not in the other."""
    return info.key, info.size, info.etag


class TestReading:
    def test_gives_back_what_was_written(self, store: ObjectStore) -> None:
        started = time.time()
        info = store.write("a/b.bin", b"\0\xff" * 1000)
        assert store.read("a/b.bin") == b"\0\xff" * 1000
        assert described(store.stat("a/b.bin")) == described(info)
        assert (info.key, info.size) == ("a/b.bin", 2000)
        assert abs(info.modified - started) < 60

    def test_an_empty_object_is_an_object(self, store: ObjectStore) -> None:
        store.write("a/_READY", b"")
        assert store.read("a/_READY") == b""
        assert [info.size for info in store.list("a/")] == [0]

    @pytest.mark.parametrize("key", ["nothing", "a/nothing", "a/b/nothing", "a", "vanished"])
    def test_what_is_not_there_or_has_just_vanished_is_not_found(self, place: Place, tmp_path: Path, key: str) -> None:
        store = place.store
        store.write("a/b", b"1")
        if key == "vanished":
            place.put(key, b"1")
            assert key in [info.key for info in store.list("")]
            place.remove(key)
        for call in (
            lambda: store.stat(key),
            lambda: store.read(key),
            lambda: store.download(key, tmp_path / "copy", limit=10),
            lambda: store.move(key, "archive/1"),
        ):
            with pytest.raises(ObjectNotFoundError, match=key):
                call()
        assert not list(tmp_path.glob("*copy*"))

    def test_limits_are_kept(self, store: ObjectStore, tmp_path: Path) -> None:
        store.write("a", b"12345")
        (tmp_path / "copy").write_bytes(b"old")
        assert store.read("a", limit=5) == b"12345"
        with pytest.raises(ObjectTooLargeError, match="5 bytes"):
            store.read("a", limit=4)
        with pytest.raises(ObjectTooLargeError, match="5 bytes"):
            store.download("a", tmp_path / "copy", limit=4)
        assert (tmp_path / "copy").read_bytes() == b"old"
        store.download("a", tmp_path / "copy", limit=5)
        assert (tmp_path / "copy").read_bytes() == b"12345"
        assert not list(tmp_path.glob(".*"))

    def test_a_tag_changes_with_the_content(self, place: Place) -> None:
        first = place.store.write("a", b"1").etag
        place.put("a", b"2")
        assert place.store.stat("a").etag != first


class TestFiles:
    def test_a_large_file_goes_up_and_down_in_parts(self, store: ObjectStore, tmp_path: Path) -> None:
        content = bytes(range(256)) * 4096 * 17 + b"end"  # 17 MiB: two parts
        (tmp_path / "model").write_bytes(content)
        info = store.upload("versions/1/model.onnx", tmp_path / "model")
        assert info.size == len(content)
        assert info.etag == store.stat("versions/1/model.onnx").etag
        store.download("versions/1/model.onnx", tmp_path / "copy", limit=len(content))
        assert (tmp_path / "copy").read_bytes() == content

    def test_a_file_that_is_not_there_is_named(self, store: ObjectStore, tmp_path: Path) -> None:
        with pytest.raises(StoreError, match=r"missing\.bin"):
            store.upload("a", tmp_path / "missing.bin")
        assert not list(store.list(""))

    def test_an_empty_file_can_be_stored(self, store: ObjectStore, tmp_path: Path) -> None:
        (tmp_path / "empty").touch()
        assert store.upload("a", tmp_path / "empty").size == 0
        assert store.read("a") == b""


class TestListing:
    def test_is_in_key_order_and_by_prefix(self, place: Place) -> None:
        keys = ["a-b/1", "a/1", "a/2/3", "a0/1", "é/1", "Z"]
        for key in keys:
            place.put(key, key.encode())
        by_bytes = sorted(keys, key=str.encode)
        assert [info.key for info in place.store.list("")] == by_bytes
        assert [info.key for info in place.store.list("a/")] == ["a/1", "a/2/3"]
        assert [info.key for info in place.store.list("a")] == [key for key in by_bytes if key.startswith("a")]
        assert [info.key for info in place.store.list("a/2")] == ["a/2/3"]
        assert not list(place.store.list("nothing/"))
        assert {info.key: info.size for info in place.store.list("")} == {key: len(key.encode()) for key in keys}

    def test_every_name_comes_back(self, place: Place) -> None:
        for name in NAMES:
            place.put(f"incoming/{name}", name.encode())
        assert sorted(info.key for info in place.store.list("incoming/")) == sorted(f"incoming/{n}" for n in NAMES)
        for info in place.store.list("incoming/"):
            assert f"incoming/{place.store.read(info.key).decode()}" == info.key
            place.store.move(info.key, info.key.replace("incoming", "archive/1"))
        assert sorted(info.key for info in place.store.list("")) == sorted(f"archive/1/{name}" for name in NAMES)

    def test_agrees_with_stat(self, place: Place) -> None:
        place.put("incoming/cat/1.png", b"1")
        (listed,) = place.store.list("")
        found = place.store.stat("incoming/cat/1.png")
        assert (listed.key, listed.size, listed.etag) == (found.key, found.size, found.etag)
        assert int(listed.modified) == int(found.modified)

    def test_folders_are_those_directly_below(self, place: Place) -> None:
        for key in ["incoming/cat/1", "incoming/dog/x/1", "incoming/loose.png", "other/1"]:
            place.put(key, b"1")
        if place.server is None or place.server.flat:
            place.make_folder("incoming/empty")
        else:  # its own client would make an object of the marker
            place.put("incoming/empty/1", b"1")
        assert sorted(place.store.folders("incoming/")) == ["cat", "dog", "empty"]
        assert sorted(place.store.folders("")) == ["incoming", "other"]
        assert list(place.store.folders("incoming/dog/")) == ["x"]
        assert not list(place.store.folders("nothing/"))
        if place.server is None or place.server.flat:
            assert [info.key for info in place.store.list("incoming/empty")] == []

    @pytest.mark.slow
    def test_more_than_a_page(self, place: Place) -> None:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda number: place.put(f"incoming/c/{number:04}", b""), range(1005)))
        assert [info.key for info in place.store.list("incoming/")] == [f"incoming/c/{n:04}" for n in range(1005)]

    def test_is_lazy(self, place: Place) -> None:
        for number in range(3):
            place.put(f"a/{number}", b"")
        listing = place.store.list("a/")
        assert next(listing).key == "a/0"
        place.remove("a/2")
        assert [info.key for info in listing][:1] == ["a/1"]

    def test_the_stores_own_objects_are_not_listed(self, store: ObjectStore) -> None:
        store.check()
        store.write("a/b", b"1", only_if_absent=True)
        assert [info.key for info in store.list("")] == ["a/b"]
        assert list(store.folders("")) == ["a"]


class TestConditions:
    def test_are_found_out(self, place: Place) -> None:
        assert place.store.conditional_writes == (place.server is None or place.server.conditional)

    def test_those_of_deletions_are_found_out(self, place: Place) -> None:
        expected = True if place.server is None else place.server.conditional_deletions
        assert place.store.exact_moves == (place.store.exact_moves if expected is None else expected)
        assert list(place.store.list("")) == []

    def test_create_once(self, store: ObjectStore) -> None:
        info = store.write("a/b", b"1", only_if_absent=True)
        assert described(info) == described(store.stat("a/b"))
        with pytest.raises(PreconditionFailedError, match="a/b"):
            store.write("a/b", b"2", only_if_absent=True)
        assert store.read("a/b") == b"1"

    def test_replace_what_was_seen(self, store: ObjectStore) -> None:
        first = store.write("a", b"1")
        second = store.replace("a", b"2", expected_etag=first.etag)
        assert described(second) == described(store.stat("a"))
        with pytest.raises(PreconditionFailedError, match="a"):
            store.replace("a", b"3", expected_etag=first.etag)
        assert store.read("a") == b"2"

    def test_replace_needs_something_to_replace(self, store: ObjectStore) -> None:
        etag = store.write("a", b"1").etag
        store.delete("a")
        with pytest.raises(PreconditionFailedError):
            store.replace("a", b"2", expected_etag=etag)
        assert not list(store.list(""))

    @pytest.mark.usefixtures("several_writers")
    @pytest.mark.parametrize("action", ["create", "replace"])
    def test_one_of_many_wins(self, store: ObjectStore, action: str) -> None:
        etag = store.write("a", b"start").etag if action == "replace" else ""
        assert store.conditional_writes  # asked before, so that all start together
        barrier = threading.Barrier(8)

        def attempt(number: int) -> bytes | None:
            data = b"writer %d" % number
            barrier.wait()
            try:
                if action == "create":
                    store.write("a", data, only_if_absent=True)
                else:
                    store.replace("a", data, expected_etag=etag)
            except PreconditionFailedError:
                return None
            return data

        with ThreadPoolExecutor(8) as pool:
            winners = [data for data in pool.map(attempt, range(8)) if data is not None]
        assert winners == [store.read("a")]


@pytest.mark.parametrize("exactly", [False, True], ids=["whatever is there", "what was seen"])
class TestMoving:
    """``expected_etag`` promises: a late move takes nothing else along, and replaces nothing else."""

    def tag(self, store: ObjectStore, key: str, *, exactly: bool) -> str | None:
        return store.stat(key).etag if exactly else None

    def test_moves_and_again_changes_nothing(self, place: Place, *, exactly: bool) -> None:
        source, target = "incoming/cat/1.png", "archive/u1/cat/1.png"
        place.put(source, b"1")
        seen = self.tag(place.store, source, exactly=exactly)
        for _ in range(2):
            place.store.move(source, target, expected_etag=seen)
            assert [info.key for info in place.store.list("")] == [target]
            assert place.store.read(target) == b"1"
            assert list(place.store.folders("incoming/")) == []

    def test_completes_after_a_crash_between_copy_and_delete(self, place: Place, *, exactly: bool) -> None:
        place.put("a/1", b"1")
        place.put("b/1", b"1")
        place.store.move("a/1", "b/1", expected_etag=self.tag(place.store, "a/1", exactly=exactly))
        assert [info.key for info in place.store.list("")] == ["b/1"]

    def test_to_itself_keeps_it(self, store: ObjectStore, *, exactly: bool) -> None:
        store.write("a/1", b"1")
        store.move("a/1", "a/1", expected_etag=self.tag(store, "a/1", exactly=exactly))
        assert store.read("a/1") == b"1"


def test_another_content_than_was_seen_stays_where_it_is(place: Place) -> None:
    source, target = "incoming/cat/1.png", "archive/u1/cat/1.png"
    place.put(source, b"1")
    seen = place.store.stat(source).etag
    place.store.move(source, target, expected_etag=seen)
    place.put(source, b"another")
    with pytest.raises(PreconditionFailedError, match=r"1\.png"):
        place.store.move(source, target, expected_etag=seen)
    assert place.store.read(source) == b"another"
    assert place.store.read(target) == b"1"


class TestMovingToAFreeKey:
    """``only_if_absent`` promises: what lies at the new key is never replaced."""

    def test_moves_and_again_changes_nothing(self, place: Place) -> None:
        place.put("rejected/1", b"1")
        for _ in range(2):
            place.store.move("rejected/1", "incoming/1", only_if_absent=True)
            assert [info.key for info in place.store.list("")] == ["incoming/1"]
            assert place.store.read("incoming/1") == b"1"

    def test_replaces_nothing(self, place: Place) -> None:
        for there in (b"2", b"of another size"):
            place.put("rejected/1", b"1")
            place.put("incoming/1", there)
            with pytest.raises(PreconditionFailedError, match="incoming/1"):
                place.store.move("rejected/1", "incoming/1", only_if_absent=True)
            assert (place.store.read("rejected/1"), place.store.read("incoming/1")) == (b"1", there)

    def test_completes_after_a_crash_between_copy_and_delete(self, place: Place) -> None:
        place.put("rejected/1", b"1")
        place.put("incoming/1", b"1")
        place.store.move("rejected/1", "incoming/1", only_if_absent=True)
        assert [info.key for info in place.store.list("")] == ["incoming/1"]

    def test_moves_only_what_was_seen(self, place: Place) -> None:
        place.put("rejected/1", b"1")
        seen = place.store.stat("rejected/1").etag
        place.put("rejected/1", b"another")
        with pytest.raises(PreconditionFailedError, match="rejected/1"):
            place.store.move("rejected/1", "incoming/1", expected_etag=seen, only_if_absent=True)
        assert [info.key for info in place.store.list("")] == ["rejected/1"]

    def test_of_nothing(self, place: Place) -> None:
        with pytest.raises(ObjectNotFoundError):
            place.store.move("rejected/1", "incoming/1", only_if_absent=True)


class TestCreatingFromAFile:
    def test_once(self, store: ObjectStore, tmp_path: Path) -> None:
        (tmp_path / "one").write_bytes(b"1" * 100_000)
        (tmp_path / "two").write_bytes(b"2")
        info = store.upload("versions/1/model.onnx", tmp_path / "one", only_if_absent=True)
        assert described(info) == described(store.stat("versions/1/model.onnx"))
        with pytest.raises(PreconditionFailedError, match=r"model\.onnx"):
            store.upload("versions/1/model.onnx", tmp_path / "two", only_if_absent=True)
        assert store.read("versions/1/model.onnx") == b"1" * 100_000

    def test_of_nothing(self, store: ObjectStore, tmp_path: Path) -> None:
        (tmp_path / "empty").touch()
        assert store.upload("a", tmp_path / "empty", only_if_absent=True).size == 0
        with pytest.raises(PreconditionFailedError):
            store.upload("a", tmp_path / "empty", only_if_absent=True)


class TestDeleting:
    def test_deletes_one_and_only_once(self, place: Place) -> None:
        store = place.store
        store.write("a/1", b"1")
        store.write("a/10", b"1")
        store.delete("a/1")
        store.delete("a/1")
        store.delete("never/there")
        if place.server is None or place.server.flat:
            store.delete("a")
        assert [info.key for info in store.list("")] == ["a/10"]


@pytest.mark.parametrize("key", ["", "../x", "a/../../x", "a/./b", ".."])
def test_keys_stay_inside(store: ObjectStore, tmp_path: Path, key: str) -> None:
    (tmp_path / "x").write_bytes(b"outside")
    for call in (
        lambda: store.write(key, b"1"),
        lambda: store.read(key),
        lambda: store.stat(key),
        lambda: store.delete(key),
        lambda: store.move(key, "a"),
        lambda: store.move("a", key),
        lambda: store.upload(key, tmp_path / "x"),
        lambda: store.write(key, b"1", only_if_absent=True),
    ):
        with pytest.raises(StoreError) as caught:
            call()
        assert not isinstance(caught.value, ObjectNotFoundError) or key == ""
    assert (tmp_path / "x").read_bytes() == b"outside"


def test_check_passes_and_leaves_nothing(store: ObjectStore) -> None:
    store.check()
    store.check()
    assert not list(store.list(""))
