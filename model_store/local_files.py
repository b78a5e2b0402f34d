"""Files of this machine: durable writes, hashes, and operating-system errors as ``StoreError`` with their remedy."""

import errno
import filecmp
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard

from model_store.objects import InvalidKeyError, ObjectStore, ObjectTooLargeError, StoreError, StoreUnavailableError

if TYPE_CHECKING:
    from model_store.manifest import FileRecord

CHUNK = 1024 * 1024

_FULL = {errno.ENOSPC, errno.EDQUOT}
_TRANSIENT = {
    *_FULL,  # what is small may fit still: of a drop that does not fit, nothing is wrong
    errno.EIO,
    errno.ESTALE,
    errno.ETIMEDOUT,
    errno.ENOTCONN,
    errno.EHOSTDOWN,
    errno.EMFILE,
    errno.ENFILE,
}
_REMEDIES = {
    errno.ENOSPC: "free space on its filesystem",
    errno.EDQUOT: "free space or raise the quota of its owner",
    errno.EROFS: "mount its filesystem writable, or choose another folder",
    errno.EACCES: "give this user the right to read and write it (chown or chmod)",
    errno.EPERM: "give this user the right to read and write it (chown or chmod)",
    errno.ENAMETOOLONG: "use a shorter name",
    errno.EXDEV: "keep the whole folder on one filesystem (no mount below it): files are moved into place by renaming",
    errno.ELOOP: "replace the symbolic link by the file itself: links are not followed",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.ENFILE: "raise the system's limit of open files",
    errno.ENOTDIR: "remove the file that stands where a folder is needed",
    errno.EISDIR: "remove the folder that stands where a file is needed",
    errno.EEXIST: "remove what stands in its place",
    errno.ENOENT: "check that it exists and is mounted",
}


def is_full(error: BaseException | None) -> TypeGuard[OSError]:
    """Whether there is no room: on the disk, or in a quota."""
    return isinstance(error, OSError) and error.errno in _FULL


def explain(error: OSError, what: str) -> StoreError:
    """The ``StoreError`` for ``what`` (e.g. ``write 'a/b' in /data``), with the system's reason and the remedy."""
    code = error.errno or 0
    remedy = _REMEDIES.get(code, "check the disk and the system's log")
    kind = {errno.ENAMETOOLONG: InvalidKeyError}.get(code, StoreUnavailableError if code in _TRANSIENT else StoreError)
    return kind(f"cannot {what}: {error.strerror or error}; {remedy}")


@contextmanager
def os_errors(what: str) -> Iterator[None]:
    """Turn every ``OSError`` of the block into a ``StoreError`` that names ``what``."""
    try:
        yield
    except OSError as error:
        raise explain(error, what) from error


def sync_folder(folder: Path) -> None:
    """Make the names in ``folder`` durable: a rename survives a power cut only after this."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folders(folder: Path, *, below: Path | None = None) -> None:
    """Create ``folder`` and what is missing above it, each durable.

    ``below``: a folder above it that is not made. Raises ``StoreUnavailableError`` where that is gone: an empty one in
    its place would pass for the store.
    """
    missing = []
    while not folder.exists():
        if folder == below:
            raise lost(below)
        missing.append(folder)
        folder = folder.parent
    for new in reversed(missing):
        new.mkdir(exist_ok=True)
        sync_folder(new.parent)


def lost(root: Path) -> StoreUnavailableError:
    """The error when the store's folder itself is gone."""
    return StoreUnavailableError(f"the store's folder {root} is gone: mount it, or create it again")


def record(path: Path) -> "FileRecord":
    """Size and sha256 of a file, read in pieces."""
    # Imported here: who only writes files, as a server that starts, does not wait for the models of all documents.
    from model_store.manifest import FileRecord

    digest = hashlib.sha256()
    size = 0
    with path.open("rb") as file:
        while piece := file.read(CHUNK):
            digest.update(piece)
            size += len(piece)
    return FileRecord(size=size, sha256=digest.hexdigest())


def holds(objects: ObjectStore, key: str, path: Path) -> bool:
    """Whether an object has the bytes of a file, beside which it is copied for that. Raises ``StoreError``."""
    with sibling(path) as copy:
        try:
            objects.download(key, copy, limit=path.stat().st_size)
        except ObjectTooLargeError:
            return False
        return filecmp.cmp(path, copy, shallow=False)


@contextmanager
def sibling(path: Path) -> Iterator[Path]:
    """A fresh name beside ``path`` for a file that is to take its place; what is left of it is removed."""
    temporary = path.with_name(f".{os.urandom(8).hex()}.partial")
    try:
        yield temporary
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()


def write_whole(path: Path, text: str) -> None:
    """Write a file that is complete before its name appears."""
    with sibling(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
