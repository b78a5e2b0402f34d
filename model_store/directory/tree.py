"""The regular files below a folder, as objects: names, descriptions, listing in key order. Links are never followed."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from model_store.directory.spelling import key_of, name_of, spelt
from model_store.keys import RESERVED, check_key, check_prefix
from model_store.local_files import explain, lost, os_errors
from model_store.objects import InvalidKeyError, ObjectInfo, StoreError, StoreUnavailableError
from model_store.unlistable import Unlistable

GONE = (FileNotFoundError, NotADirectoryError)


def locate(root: Path, key: str) -> Path:
    """The path of a key, whose folders are real ones below ``root``. Raises ``StoreError`` otherwise."""
    try:
        path = root / name_of(check_key(key))
    except ValueError as error:
        raise InvalidKeyError(f"{key!r} is not a key in {root}: {error}") from None
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


def lasting(etag: str) -> str:
    """The part of a tag that a renaming does not change: all but the time of that change, which stands last."""
    return etag.rpartition("-")[0]


def names(root: Path, above: str, start: str = "", *, odd: bool = False) -> list[str]:
    """Names in the folder ``above`` that begin with ``start``, last first, folders with ``/``; files and folders only.

    odd: links, pipes and devices too. The caller has checked that ``above`` lies below ``root``. A folder that vanished
    is empty. Raises ``StoreError``; ``StoreUnavailableError`` when it is the whole store that vanished.
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
                elif odd or entry.is_file(follow_symlinks=False):
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
    for found in _walk(root, prefix, odd=False):
        if isinstance(found, ObjectInfo):
            yield found


def walk_everything(root: Path, prefix: str) -> Iterator[ObjectInfo | Unlistable]:
    """The same, with what is not a file or cannot be entered; raises only for what ends the whole listing."""
    return _walk(root, prefix, odd=True)


def _walk(root: Path, prefix: str, *, odd: bool) -> Iterator[ObjectInfo | Unlistable]:
    folder, _, start = spelt(check_prefix(prefix)).rpartition("/")
    above = f"{folder}/" if folder else ""
    locate(root, f"{above}x")  # what is found below is entered only where it is not a link
    first = _below(root, above, start, odd=odd)
    if isinstance(first, Unlistable):
        yield first
        return
    pending = [(above, first)]
    while pending:
        above, left = pending[-1]
        if not left:
            pending.pop()
            continue
        key = above + left.pop()
        if key.endswith("/"):
            inside = _below(root, key, odd=odd)
            if isinstance(inside, Unlistable):
                yield inside
            else:
                pending.append((key, inside))
            continue
        found = _described(root, key, odd=odd)
        if found is not None:
            yield found


def _described(root: Path, key: str, *, odd: bool) -> ObjectInfo | Unlistable | None:
    try:
        with os_errors(f"list {key!r} in {root}"):
            return describe(root, key) or (_what_is(root, key) if odd else None)
    except StoreUnavailableError:
        raise
    except StoreError as error:
        if not odd:
            raise
        return Unlistable(key, str(error))


def _below(root: Path, above: str, start: str = "", *, odd: bool) -> list[str] | Unlistable:
    try:
        return names(root, above, start, odd=odd)
    except StoreUnavailableError:
        raise
    except StoreError as error:
        if not odd:
            raise
        return Unlistable(above, str(error))


def _what_is(root: Path, key: str) -> Unlistable | None:
    """What stands where no file is; None where nothing is (any more)."""
    try:
        mode = os.lstat(f"{root}/{name_of(key)}").st_mode
    except GONE:
        return None
    if stat.S_ISLNK(mode):
        return Unlistable(key, "a symbolic link, which is not followed in a store: copy what it leads to instead")
    if stat.S_ISDIR(mode) or stat.S_ISREG(mode):
        return None  # it came while the listing went on: the next one has it
    return Unlistable(key, "neither a file nor a folder: remove it")
