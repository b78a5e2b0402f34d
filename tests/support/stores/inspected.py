"""What lies in a store, and what is fetched from it."""

import hashlib
from pathlib import Path

import pytest

from model_store.directory.directory_store import DirectoryStore
from model_store.objects import ObjectStore


def sha(data: bytes | str) -> str:
    """The SHA-256 of bytes, or of a text that stands for an image."""
    return hashlib.sha256(data.encode() if isinstance(data, str) else data).hexdigest()


def everything_in(store: ObjectStore) -> dict[str, bytes]:
    """Each object's content by its key."""
    return {info.key: store.read(info.key) for info in store.list("")}


def note_downloads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The keys of objects that are downloaded from folders from now on."""
    fetched: list[str] = []
    download = DirectoryStore.download

    def listening(store: DirectoryStore, key: str, path: Path, *, limit: int) -> None:
        fetched.append(key)
        download(store, key, path, limit=limit)

    monkeypatch.setattr(DirectoryStore, "download", listening)
    return fetched
