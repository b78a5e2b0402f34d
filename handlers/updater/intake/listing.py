"""What lies in ``incoming/`` now: the listing is the truth; events only make it happen sooner."""

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, field

from handlers.bucket.dropped_names import class_name, holds_classes, looks_like_another_kind, why_left_alone
from handlers.bucket.layout import INCOMING, READY_MARKER, split_incoming
from handlers.updater.context.troubled import Troubled
from model_store.objects import ObjectInfo, ObjectStore, StoreError
from model_store.unlistable import Unlistable, list_everything

MARKER_SECONDS = 60.0
"""How long before the first of its files a marker may have come, in seconds by the store's clock."""


def marks(marker: float, oldest: float) -> bool:
    """Whether a marker of that age is of files of which the oldest came then.

    A marker may come before what it marks, where a folder is copied in any order. But one that comes when its images
    have been taken up already stays alone: it must not let the next drop of that class count as complete.
    """
    return oldest - marker <= MARKER_SECONDS


@dataclass
class Folder:
    """One folder of ``incoming/`` as one listing shows it; name "" stands for files that lie in no folder."""

    name: str
    images: int = 0
    """Objects that may be images: their content decides when they are read."""
    others: int = 0
    """Objects whose names end as those of other files do."""
    left: int = 0
    """Objects that are left alone."""
    left_reason: str | None = None
    """Why, of the first of them."""
    held: int = 0
    """Objects that cannot be read or moved now and are tried again later, links, folders that cannot be entered."""
    held_reason: str | None = None
    """Why, of the first of them."""
    size: int = 0
    newest: float = 0.0
    """When the newest object arrived, in seconds since the epoch by the store's clock."""
    oldest: float = math.inf
    """When the oldest of the images and others did."""
    marker: float | None = None
    """When its marker did; None without one."""
    problem: str | None = None
    """Why the name is not a class name."""
    class_name: str | None = None
    _loose: int = 0
    """Images that lie in no folder below it."""
    _subfolders: set[str] = field(default_factory=set, repr=False)
    """Two of the folders below it in which images lie."""
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
    def marked(self) -> bool:
        """Whether what lies in it is said to be complete."""
        return self.marker is not None and marks(self.marker, self.oldest)

    @property
    def fingerprint(self) -> str:
        """Changes when an object is added, removed or replaced, and when the marker is written again: in a bucket that
        has the same tag then."""
        return self._digest.hexdigest()

    def add(self, info: ObjectInfo, path: str) -> None:
        """Take in one object of the listing; ``path`` is its place below the folder."""
        self._digest.update(repr((info.key, info.etag, info.size)).encode(errors="surrogatepass"))
        self.newest = max(self.newest, info.modified)
        self.size += info.size
        if path == READY_MARKER and self.name:
            self.marker = info.modified
            self._digest.update(repr(info.modified).encode())
            return
        if (reason := why_left_alone(f"{self.name}/{path}" if self.name else path)) is not None:
            self.left += 1
            self.left_reason = self.left_reason or reason
            return
        self.oldest = min(self.oldest, info.modified)
        if looks_like_another_kind(path):
            self.others += 1
        else:
            self.images += 1
            subfolder, slash, _ = path.partition("/")
            if not slash:
                self._loose += 1
            elif len(self._subfolders) < 2:
                self._subfolders.add(subfolder)

    def hold(self, reason: str) -> None:
        """Count what is there and cannot be taken up."""
        self.held += 1
        self.held_reason = self.held_reason or reason

    @property
    def holds_classes(self) -> bool:
        """Whether it seems to be a part of a data set (``train``), whose folders are the classes."""
        return holds_classes(self.name, self._loose, self._subfolders)


def list_incoming(objects: ObjectStore, prefix: str = INCOMING) -> Iterator[tuple[ObjectInfo, str, str]]:
    """(object, folder, path below the folder), lazily; the empty objects that stand for folders on S3 are left out.

    So is what is not an object, or cannot be entered: ``scan`` tells of it.
    """
    for info in list_everything(objects, prefix):
        if isinstance(info, Unlistable) or (info.key.endswith("/") and info.size == 0):
            continue
        folder, path = split_incoming(info.key)
        yield info, folder, path


def scan(objects: ObjectStore, troubled: Troubled | None = None) -> dict[str, Folder]:
    """Every folder of ``incoming/`` by name, from one listing; memory grows with the folders, not with the images.

    troubled: what is not to be tried yet. Raises ``StoreError``, but not for a single folder that cannot be listed.
    """
    folders: dict[str, Folder] = {}
    for found in list_everything(objects, INCOMING):
        if isinstance(found, Unlistable):
            name = found.key.removeprefix(INCOMING).partition("/")[0]
            if not name:
                raise StoreError(found.reason)
            folders.setdefault(name, Folder(name)).hold(found.reason)
            continue
        if found.key.endswith("/") and found.size == 0:
            continue
        name, path = split_incoming(found.key)
        folder = folders.setdefault(name, Folder(name))
        reason = troubled.waits(found) if troubled is not None else None
        if reason is not None:
            folder.hold(reason)
        else:
            folder.add(found, path)
    if objects.url.startswith("file:"):  # a bucket has no empty folders, and asking would cost a second listing
        for name in objects.folders(INCOMING):
            folders.setdefault(name, Folder(name))
    return folders
