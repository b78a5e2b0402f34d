"""The regular files below a folder, as objects: names, descriptions, listing in key order. Links are never followed."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from model_store.directory.spelling import key_of, name_of, spelt
from model_store.keys import RESERVED, check_key, check_prefix
from model_store.local_files import explain, os_errors
from model_store.objects import ObjectInfo, StoreError, StoreUnavailableError

GONE = (FileNotFoundError, NotADirectoryError)


def locate(root: Path, key: str) -> Path:
    """The path of a key, whose folders are real ones below ``root``. Raises ``StoreError`` otherwise."""
    try:
        path = root / name_of(check_key(key))
    except ValueError as error:
        raise StoreError(f"{key!r} is no key in {root}: {error}") from None
    with os_errors(f"find {key!r} in {root}"):
        real = os.path.realpath(path.parent)
    if real != str(path.parent):
        raise StoreError(
            f"{key!r} in {root} lies behind a symbolic link, which is not followed: copy the files instead"
        )
    return path


def describe(root: Path, key: str) -> ObjectInfo | None:
    """The object of a key; None where there is none (it vanished, or is a folder, link, pipe or device)."""
    try:
        found = os.lstat(f"{root}/{name_of(key)}")  # a listing does this for each: no path objects
    except GONE:
        return None
    if not stat.S_ISREG(found.st_mode):
        return None
    # ``cp -p`` and ``mv`` keep old modification times; the change time tells when the file came to be here.
    modified = max(found.st_mtime, found.st_ctime)
    return ObjectInfo(spelt(key), found.st_size, tag_of(found), modified)


def tag_of(found: os.stat_result) -> str:
    """The tag of a file in this state."""
    return f"{found.st_ino:x}-{found.st_size:x}-{found.st_mtime_ns:x}-{found.st_ctime_ns:x}"


def names(root: Path, above: str, start: str = "") -> list[str]:
    """Names in the folder ``above`` that begin with ``start``, last first, folders with ``/``; files and folders only.

    The caller has checked that ``above`` lies below ``root``. A folder that vanished is empty. Raises
    ``StoreUnavailableError`` when it is the whole store that vanished.
    """
    found: list[str] = []
    try:
        with os.scandir(root / name_of(above)) as entries:
            for entry in entries:
                name = key_of(entry.name)
                if not name.startswith(start) or (not above and name == RESERVED):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    found.append(f"{name}/")
                elif entry.is_file(follow_symlinks=False):
                    found.append(name)
    except GONE:
        if not root.is_dir():
            raise lost(root) from None
    except OSError as error:
        raise explain(error, f"list the folder {above!r} in {root}") from error
    # With its ``/`` a folder sorts where its keys do ("a-b" before "a/x" before "a0"), as in a bucket: by bytes.
    found.sort(key=str.encode, reverse=True)
    return found


def walk(root: Path, prefix: str) -> Iterator[ObjectInfo]:
    """Every regular file whose key starts with ``prefix``, in key order; holds the names of one folder per level."""
    folder, _, start = spelt(check_prefix(prefix)).rpartition("/")
    above = f"{folder}/" if folder else ""
    locate(root, f"{above}x")  # what is found below is entered only where it is not a link
    pending = [(above, names(root, above, start))]
    while pending:
        above, left = pending[-1]
        if not left:
            pending.pop()
            continue
        key = above + left.pop()
        if key.endswith("/"):
            pending.append((key, names(root, key)))
            continue
        with os_errors(f"list {key!r} in {root}"):
            info = describe(root, key)
        if info is not None:
            yield info


def lost(root: Path) -> StoreUnavailableError:
    """The error when the store's folder itself is gone."""
    return StoreUnavailableError(f"the store's folder {root} is gone: mount it, or create it again")
