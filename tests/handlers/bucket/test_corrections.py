"""A corrected image lies in ``incoming/`` like a dropped one, marked as complete."""

import hashlib
from pathlib import Path

import pytest

from handlers.bucket.corrections import put_correction
from model_store.directory.directory_store import DirectoryStore


def test_it_joins_its_class_with_the_marker_and_once(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    key = put_correction(store, "cat", b"image", ".png")
    assert key == f"incoming/cat/corrections/{hashlib.sha256(b'image').hexdigest()}.png"
    assert put_correction(store, "cat", b"image", ".png") == key
    assert sorted(info.key for info in store.list("incoming/")) == ["incoming/cat/_READY", key]
    assert store.read(key, limit=100) == b"image"


def test_an_impossible_class_writes_nothing(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    with pytest.raises(ValueError, match="underscore"):
        put_correction(store, "_cat", b"image", ".png")
    assert not list(store.list(""))
