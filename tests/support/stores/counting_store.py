"""A store that tells what was read from it."""

from pathlib import Path

from model_store.directory.directory_store import DirectoryStore
from model_store.objects import READ_LIMIT


class CountingStore(DirectoryStore):
    """A directory store that notes which objects below ``prefix`` are read."""

    def __init__(self, root: Path, prefix: str) -> None:
        super().__init__(root)
        self._prefix = prefix
        self.read_keys: list[str] = []

    def read(self, key: str, *, limit: int = READ_LIMIT) -> bytes:
        if key.startswith(self._prefix):
            self.read_keys.append(key)
        return super().read(key, limit=limit)
