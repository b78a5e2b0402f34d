"""An object store in a local folder: keys are relative paths, so a file manager is a client of it.

Writes go to a temporary file below ``.lucir/`` of the same root, are synced, and are renamed into place; a reader sees
the old object or the new one. Symbolic links are never followed below the root and are not objects. A folder that a
move or a removal emptied goes too (as in a bucket), except those directly in the root.
"""

import errno
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event
from typing import BinaryIO, TypeVar

from model_store.directory.exact_move import move_content
from model_store.directory.spelling import name_of
from model_store.directory.staging import Staging
from model_store.directory.tree import GONE, describe, locate, names, walk, walk_everything
from model_store.keys import check_folder
from model_store.local_files import CHUNK, explain, lost, make_folders, os_errors, sibling, sync_folder
from model_store.notify import folder_events
from model_store.objects import (
    READ_LIMIT,
    ObjectInfo,
    ObjectNotFoundError,
    PreconditionFailedError,
    StoreError,
    check_size,
)
from model_store.unlistable import Unlistable

Placed = TypeVar("Placed")

_ATTEMPTS = 10
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


class DirectoryStore:
    """The folder ``root``, created if missing. Raises ``StoreError`` when it cannot be."""

    def __init__(self, root: Path) -> None:
        self._root = Path(os.path.realpath(root))
        self._staging = Staging(self._root)
        with os_errors(f"create the store's folder {self._root}"):
            make_folders(self._root)
        if not self._root.is_dir():
            raise StoreError(f"the store {self._root} is a file; name a folder")

    @property
    def url(self) -> str:
        """``file:///path``."""
        return self._root.as_uri()

    @property
    def conditional_writes(self) -> bool:
        """Always: a folder has links and locks."""
        return True

    @property
    def exact_moves(self) -> bool:
        """Always: a move is one step."""
        return True

    def check(self) -> None:
        """Raise ``StoreError`` unless the folder can be listed and written; remove temporary files of the dead."""
        if not self._root.is_dir():
            raise lost(self._root)
        with os_errors(f"list the store {self._root}"), os.scandir(self._root) as entries:
            next(entries, None)
        with os_errors(f"write in the store {self._root}"):
            with self._staging.temporary() as (file, _):
                file.write(b"probe")
            self._staging.remove_stale()

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Every regular file, in the order of the keys' bytes; memory grows with the largest folder, not the tree."""
        return walk(self._root, prefix)

    def list_everything(self, prefix: str) -> Iterator[ObjectInfo | Unlistable]:
        """The same, and links, pipes and folders that may not be entered, each with what to do about it."""
        return walk_everything(self._root, prefix)

    def folders(self, prefix: str) -> Iterator[str]:
        """Names of the folders directly below ``prefix``, in the order of their bytes."""
        locate(self._root, f"{check_folder(prefix)}x")
        yield from (name[:-1] for name in reversed(names(self._root, prefix)) if name.endswith("/"))

    def stat(self, key: str) -> ObjectInfo:
        """Describe one object. Raises ``ObjectNotFoundError``."""
        locate(self._root, key)
        with os_errors(f"stat {key!r} in {self._root}"):
            info = describe(self._root, key)
        if info is None:
            raise self._missing(key)
        return info

    def read(self, key: str, *, limit: int = READ_LIMIT) -> bytes:
        """The whole object. Raises ``ObjectNotFoundError``, or ``ObjectTooLargeError`` above ``limit`` bytes."""
        with self._open(key) as file, os_errors(f"read {key!r} in {self._root}"):
            check_size(key, os.fstat(file.fileno()).st_size, limit)
            data = file.read(limit + 1)
        check_size(key, len(data), limit)
        return data

    def download(self, key: str, path: Path, *, limit: int) -> None:
        """Write the object to ``path`` (replaced atomically). Raises as ``read`` does."""
        with self._open(key) as file, sibling(path) as temporary, os_errors(f"copy {key!r} to {path}"):
            check_size(key, os.fstat(file.fileno()).st_size, limit)
            with temporary.open("xb") as copy:
                while piece := file.read(CHUNK):
                    check_size(key, copy.tell() + len(piece), limit)  # it may grow meanwhile
                    copy.write(piece)
            temporary.replace(path)

    def write(self, key: str, data: bytes, *, only_if_absent: bool = False) -> ObjectInfo:
        """Create or replace an object durably. Raises ``PreconditionFailedError`` if it exists and must not."""
        return self._put(key, lambda file: file.write(data), self._link if only_if_absent else self._rename)

    def replace(self, key: str, data: bytes, *, expected_etag: str) -> ObjectInfo:
        """Replace an object only if its tag is still ``expected_etag``; else ``PreconditionFailedError``."""

        def compare_and_rename(temporary: Path, key: str) -> None:
            with self._staging.locked(exclusive=True):
                info = describe(self._root, key)
                if info is None or info.etag != expected_etag:
                    raise self._changed(key)
                temporary.rename(locate(self._root, key))

        return self._put(key, lambda file: file.write(data), compare_and_rename)

    def upload(self, key: str, path: Path, *, only_if_absent: bool = False) -> ObjectInfo:
        """Create or replace an object from a file, copied in pieces. Raises as ``write`` does."""
        with os_errors(f"read {path}"):
            source = path.open("rb")
        with source:
            place = self._link if only_if_absent else self._rename
            return self._put(key, lambda file: shutil.copyfileobj(source, file, CHUNK), place)

    def move(self, source: str, target: str, *, expected_etag: str | None = None, only_if_absent: bool = False) -> None:
        """Rename. Done already (no source, but a target) is done; see ``move_content`` for the conditions."""
        old, new = locate(self._root, source), locate(self._root, target)
        with self._errors(f"move {source!r} to {target!r}"):
            found = describe(self._root, source)
            if found is None:
                if describe(self._root, target) is None:
                    raise self._missing(source)
                return
            if expected_etag not in {None, found.etag}:
                raise self._changed(source)
            if old == new:
                return
            with self._open(source) as file:
                os.fsync(file.fileno())  # people's copies are rarely synced; what is archived is durable
            if expected_etag is None and not only_if_absent:
                self._retried(new.parent, lambda: old.rename(new))
                if old.exists():  # POSIX renames nothing when both names are links to one file
                    old.unlink()
            elif not self._retried(new.parent, lambda: move_content(old, new, expected_etag)):
                raise self._exists(target) if os.path.lexists(new) else self._changed(source)
            sync_folder(new.parent)
            self._tidy(old.parent)

    def delete(self, key: str) -> None:
        """Remove one object; removing what is not there is not an error."""
        path = locate(self._root, key)
        with self._errors(f"delete {key!r}"):
            if describe(self._root, key) is not None:
                path.unlink(missing_ok=True)
                self._tidy(path.parent)

    def listen(self, prefix: str, stop: Event) -> Iterator[None]:
        """Yield after something below ``prefix`` changed: a hint, see ``model_store.notify``."""
        return folder_events(self._root, prefix, stop)

    @contextmanager
    def _open(self, key: str) -> Iterator[BinaryIO]:
        """An object for reading; not a link, and not a pipe that would block."""
        path = locate(self._root, key)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except GONE:
            raise self._missing(key) from None
        except OSError as error:
            raise explain(error, f"read {key!r} in {self._root}") from error
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise self._missing(key)
        with os.fdopen(descriptor, "rb") as file:
            yield file

    def _put(self, key: str, fill: Callable[[BinaryIO], object], place: Callable[[Path, str], None]) -> ObjectInfo:
        """Fill a temporary file, sync it, ``place`` it at the key, sync the folder."""
        path = locate(self._root, key)
        if not self._root.is_dir():
            raise lost(self._root)
        with self._errors(f"write {key!r}"):
            with self._staging.temporary() as (file, temporary):
                fill(file)
                file.flush()
                os.fsync(file.fileno())
                self._retried(path.parent, lambda: place(temporary, key))
            sync_folder(path.parent)
        return self.stat(key)

    def _rename(self, temporary: Path, key: str) -> None:
        with self._staging.locked(exclusive=False):  # not between the comparison and the renaming of a ``replace``
            temporary.rename(self._root / name_of(key))

    def _link(self, temporary: Path, key: str) -> None:
        path = self._root / name_of(key)
        with self._staging.locked(exclusive=True):
            if os.path.lexists(path):
                raise self._exists(key)
            try:
                os.link(temporary, path)  # atomic against writers that know nothing of the lock
            except FileExistsError:
                raise self._exists(key) from None
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise
                temporary.rename(path)

    def _retried(self, folder: Path, place: Callable[[], Placed]) -> Placed:
        """Create ``folder`` and ``place`` into it; again when somebody who knows no lock took it away between."""
        for attempt in range(_ATTEMPTS):
            try:
                with self._staging.folders(exclusive=False):
                    make_folders(folder, below=self._root)
                    return place()
            except (FileNotFoundError, FileExistsError):
                if attempt == _ATTEMPTS - 1 or not self._root.is_dir():
                    raise
        raise AssertionError("the last attempt returns or raises")

    def _tidy(self, folder: Path) -> None:
        """Sync ``folder``, or remove it and those above it where nothing is left in them."""
        with self._staging.folders(exclusive=True):
            while folder != self._root and folder.parent != self._root:
                try:
                    folder.rmdir()
                except OSError:  # not empty, or not ours to remove
                    break
                folder = folder.parent
        with suppress(FileNotFoundError):
            sync_folder(folder)

    @contextmanager
    def _errors(self, what: str) -> Iterator[None]:
        """As ``os_errors``; where the store's folder went away meanwhile, that is the error."""
        try:
            with os_errors(f"{what} in {self._root}"):
                yield
        except StoreError as error:
            if isinstance(error.__cause__, FileNotFoundError) and not self._root.is_dir():
                raise lost(self._root) from error
            raise

    def _changed(self, key: str) -> PreconditionFailedError:
        return PreconditionFailedError(f"{key!r} in {self._root} changed meanwhile; read it again")

    def _exists(self, key: str) -> PreconditionFailedError:
        return PreconditionFailedError(f"{key!r} in {self._root} exists already")

    def _missing(self, key: str) -> StoreError:
        return ObjectNotFoundError(f"there is no {key!r} in {self._root}") if self._root.is_dir() else lost(self._root)
