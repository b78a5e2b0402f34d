"""A store whose listings are older than what it holds, as those of some object stores may be for a moment."""

from collections.abc import Collection, Iterator
from pathlib import Path

from model_store.directory.directory_store import DirectoryStore
from model_store.objects import ObjectInfo


class OldListings(DirectoryStore):
    """The listings of the methods ``behind`` (``list``, ``folders``) do not show the versions ``missing`` yet."""

    def __init__(self, root: Path, missing: Collection[int], behind: Collection[str]) -> None:
        super().__init__(root)
        self._unseen = {str(number) for number in missing}
        self._of = behind

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        hidden = self._unseen if "list" in self._of else set[str]()
        return (info for info in super().list(prefix) if info.key.split("/")[1] not in hidden)

    def folders(self, prefix: str) -> Iterator[str]:
        hidden = self._unseen if "folders" in self._of else set[str]()
        return (name for name in super().folders(prefix) if name not in hidden)
