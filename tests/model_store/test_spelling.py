"""Names that are not UTF-8, in a directory store: every key is text, every file is listed, read, moved, deleted."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_store.directory.directory_store import DirectoryStore
from model_store.directory.spelling import key_of, name_of
from model_store.objects import StoreError

NAMES = [
    b"caf\xe9.png",
    b"\xff\xfe",
    b"a\xed\xa0\x80b",
    b"caf\xc3\xa9\xe9.png",
    "x\ufffd.png".encode(),
    "x\ufffdE9.png".encode(),
    "x\ufffd\ufffd".encode() + b"\xe9",
    "x\ufffd".encode() + b"\xe9E9",
    "größe \u202etxt.png".encode(),
    b"two\nlines",
    b"%E9.png",
]


@pytest.mark.parametrize("name", NAMES)
def test_every_file_has_a_key_that_is_text(name: bytes, tmp_path: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path / "store" / "incoming") + b"/" + name + b" folder"))
    folder.mkdir(parents=True)
    (folder / os.fsdecode(name)).write_bytes(b"content")
    store = DirectoryStore(tmp_path / "store")
    (info,) = store.list("incoming/")
    info.key.encode()
    json.dumps(info.key, ensure_ascii=False).encode()
    (only,) = store.folders("incoming/")
    assert info.key.startswith(f"incoming/{only}/")
    assert [one.key for one in store.list(info.key)] == [info.key]
    assert store.stat(info.key) == info
    assert store.read(info.key) == b"content"
    store.download(info.key, tmp_path / "copy", limit=100)
    store.replace(info.key, b"other", expected_etag=info.etag)
    store.write(info.key, b"more")
    store.move(info.key, "archive/plain.png")
    store.move("archive/plain.png", info.key)
    assert [os.fsencode(path.name) for path in folder.iterdir()] == [name]
    store.delete(info.key)
    assert list(store.list("")) == []


def test_keys_come_in_their_own_order(tmp_path: Path) -> None:
    root = tmp_path / "store" / "incoming"
    root.mkdir(parents=True)
    for name in NAMES:
        (root / os.fsdecode(name)).touch()
    keys = [info.key for info in DirectoryStore(tmp_path / "store").list("incoming/")]
    assert keys == sorted(keys, key=str.encode)
    assert len(set(keys)) == len(NAMES)


@given(st.binary(min_size=1, max_size=12).filter(lambda name: b"\0" not in name and b"/" not in name))
def test_spelling_is_reversible(name: bytes) -> None:
    text = os.fsdecode(name)
    key = key_of(text)
    assert os.fsencode(name_of(key)) == name
    key.encode()


@given(st.lists(st.sampled_from(["E", "9", "\ufffd", "a", "\udce9", "\udcff"]), max_size=8).map("".join))
def test_marks_and_bytes_do_not_mix(text: str) -> None:
    assert name_of(key_of(text)) == text


def test_a_name_as_the_system_gives_it_is_understood(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "store")
    assert store.write("a\udce9", b"1").key == "a\ufffdE9"
    assert store.read("a\udce9") == store.read("a\ufffdE9") == b"1"


def test_what_no_listing_gives_is_no_key(tmp_path: Path) -> None:
    """Two bytes that are one character together."""
    with pytest.raises(StoreError, match="is not a key"):
        DirectoryStore(tmp_path / "store").write("x\ufffdC3\ufffdA9", b"")
