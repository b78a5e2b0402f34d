"""What lies in ``incoming/`` now: the listing is the truth; events only make it happen sooner."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from handlers.bucket.layout import INCOMING, READY_MARKER, class_name, has_image_suffix, split_incoming
from model_store.objects import ObjectInfo, ObjectStore


@dataclass
class Folder:
    """One folder of ``incoming/`` as one listing shows it; name "" stands for files that lie in no folder."""

    name: str
    images: int = 0
    """Objects whose names end as an image's does."""
    others: int = 0
    size: int = 0
    newest: float = 0.0
    """When the newest object arrived, in seconds since the epoch by the store's clock."""
    marked: bool = False
    problem: str | None = None
    """Why the name is no class name."""
    class_name: str | None = None
    _digest: "hashlib._Hash" = field(default_factory=hashlib.sha256, repr=False)

    def __post_init__(self) -> None:
        if not self.name:
            self.problem = "the file lies directly in incoming/: put it into a folder that has the name of its class"
            return
        try:
            self.class_name = class_name(self.name)
        except ValueError as error:
            self.problem = str(error)

    @property
    def fingerprint(self) -> str:
        """Changes when an object is added, removed or replaced."""
        return self._digest.hexdigest()

    def add(self, info: ObjectInfo, path: str) -> None:
        """Take in one object of the listing; ``path`` is its place below the folder."""
        self._digest.update(repr((info.key, info.etag, info.size)).encode(errors="surrogatepass"))
        self.newest = max(self.newest, info.modified)
        self.size += info.size
        if path == READY_MARKER and self.name:
            self.marked = True
        elif has_image_suffix(path):
            self.images += 1
        else:
            self.others += 1


def list_incoming(objects: ObjectStore, prefix: str = INCOMING) -> Iterator[tuple[ObjectInfo, str, str]]:
    """(object, folder, path below the folder), lazily; the empty objects that stand for folders on S3 are left out."""
    for info in objects.list(prefix):
        if info.key.endswith("/") and info.size == 0:
            continue
        folder, path = split_incoming(info.key)
        yield info, folder, path


def scan(objects: ObjectStore) -> dict[str, Folder]:
    """Every folder of ``incoming/`` by name, from one listing; memory grows with the folders, not with the images."""
    folders: dict[str, Folder] = {}
    for info, name, path in list_incoming(objects):
        if name not in folders:
            folders[name] = Folder(name)
        folders[name].add(info, path)
    if objects.url.startswith("file:"):  # a bucket has no empty folders, and asking would cost a second listing
        for name in objects.folders(INCOMING):
            folders.setdefault(name, Folder(name))
    return folders
