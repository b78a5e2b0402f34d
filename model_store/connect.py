"""From the address of a store to the store."""

import os
from pathlib import Path
from urllib.parse import unquote_to_bytes, urlsplit

from model_store.directory import DirectoryStore
from model_store.objects import ObjectStore, StoreError


def open_store(url: str) -> ObjectStore:
    """Open ``file:///path``."""
    parts = urlsplit(url)
    if parts.scheme == "file" and parts.netloc in {"", "localhost"} and parts.path.startswith("/"):
        return DirectoryStore(Path(os.fsdecode(unquote_to_bytes(parts.path))))
    raise StoreError(f"{url!r} is no store: use file:///path")
