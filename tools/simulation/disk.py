"""A disk in memory, in place of the system's for all that lies below one folder.

A history makes and removes some hundred small files, which on a real disk takes a quarter of its time. What would be
asked of the system's disk for that folder in another way than here is refused.
"""

import errno
import io
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path, PurePath
from typing import Any

ROOT = "/lucir-disk-in-memory"
"""Not there on the system's disk."""
CALLS = ("chmod", "link", "listdir", "mkdir", "remove", "rename", "rmdir", "scandir", "symlink", "truncate", "utime")
AUDITED = frozenset({"open", *(f"os.{name}" for name in CALLS)})
"""What Python tells an audit hook before the system is asked."""
TEMPORARY = f"{ROOT}/temporary"


class File:
    """What a name stands for; two names where it was linked."""

    def __init__(self, modified: float) -> None:
        self.data = b""
        self.modified = modified


class Link(File):
    """A symbolic link, which is moved and read, and looked through by nobody so far."""

    def __init__(self, target: str, modified: float) -> None:
        super().__init__(modified)
        self.target, self.data = target, os.fsencode(target)


class Written(io.BytesIO):
    """A file that is open to be written: it has its content when it is closed."""

    def __init__(self, file: File, check: Callable[[], None]) -> None:
        super().__init__()
        self._file = file
        self._check = check

    def write(self, data: Any, /) -> int:
        """Raises where the disk is full; what was in the file is gone then, as on a disk."""
        self._check()
        return super().write(data)

    def close(self) -> None:
        """As any file."""
        if not self.closed:
            self._file.data = self.getvalue()
        super().close()


class Entry:
    """One name of a listing, as ``os.scandir`` gives it."""

    def __init__(self, folder: str, name: str, is_folder: bool, is_link: bool) -> None:
        self.name, self.path = name, f"{folder}/{name}"
        self._is_folder, self._is_link = is_folder, is_link

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        """Whether it is a folder."""
        del follow_symlinks
        return self._is_folder

    def is_symlink(self) -> bool:
        """Whether it is a link."""
        return self._is_link


class Listing:
    """An iterator that may be closed."""

    def __init__(self, entries: list[Entry]) -> None:
        self._entries = iter(entries)

    def __iter__(self) -> Iterator[Entry]:
        return self._entries

    def __next__(self) -> Entry:
        return next(self._entries)

    def __enter__(self) -> "Listing":
        return self

    def __exit__(self, *_: object) -> None:
        return None


class Disk:
    """Files and folders by their path; the calls are those of ``os`` of the same name, and raise as they do."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.full_until: dict[str, float] = {}
        """By folder: until when nothing new fits below it."""
        self.linked: Callable[[str], None] = lambda _: None
        """Hears of every link that was made."""
        self._files: dict[str, File] = {}
        self._folders: dict[str, dict[str, None]] = {}
        """By path: the names in it, in the order in which they came."""
        self.clear()

    def clear(self) -> None:
        """A new disk."""
        self._files = {}
        self.full_until = {}
        self._folders = {ROOT: {"temporary": None}, TEMPORARY: {}}

    def open(self, path: str, mode: str = "r", buffering: int = -1, *words: Any, **named: Any) -> io.IOBase:
        """``io.open``: the whole file, to be read, or to be written anew."""
        del buffering
        if path in self._folders:
            raise _error(errno.EISDIR, path)
        if mode not in {"r", "rb", "w", "wb"}:
            raise NotImplementedError(f"no history has opened a file with mode {mode!r} so far: add it here")
        if mode.startswith("r"):
            binary: io.BytesIO = io.BytesIO(self._seen(path).data)
        else:
            file = self._seen(path) if path in self._files else None
            if file is None:
                self._enter(path)
                file = self._files[path] = File(0.0)
            file.data, file.modified = b"", self._clock()
            binary = Written(file, lambda: self._check_space(path))
        return binary if mode.endswith("b") else io.TextIOWrapper(binary, *words, **named)

    def touch(self, path: str, mode: int = 0o666, exist_ok: bool = True) -> None:
        """``Path.touch``."""
        del mode
        if path in self._folders:
            return
        if path not in self._files:
            self.open(path, "wb").close()
        elif not exist_ok:
            raise _error(errno.EEXIST, path)
        self._seen(path).modified = self._clock()

    def stat(self, path: str, *, dir_fd: None = None, follow_symlinks: bool = True) -> os.stat_result:
        """Kind, size and time."""
        del dir_fd
        if path in self._folders:
            return os.stat_result((stat.S_IFDIR | 0o755, 0, 0, 1, 0, 0, 0, 0, 0, 0))
        file = self._seen(path) if follow_symlinks else self._file(path)
        kind = stat.S_IFLNK | 0o777 if isinstance(file, Link) else stat.S_IFREG | 0o644
        times = (file.modified,) * 3
        return os.stat_result((kind, id(file), 0, 1, 0, 0, len(file.data), *times))

    def lstat(self, path: str, *, dir_fd: None = None) -> os.stat_result:
        """The same of a link itself."""
        return self.stat(path, dir_fd=dir_fd, follow_symlinks=False)

    def mkdir(self, path: str, mode: int = 0o777, *, dir_fd: None = None) -> None:
        """Make a folder."""
        del mode, dir_fd
        if path in self._folders or path in self._files:
            raise _error(errno.EEXIST, path)
        self._check_space(path)
        self._enter(path)
        self._folders[path] = {}

    def unlink(self, path: str, *, dir_fd: None = None) -> None:
        """Remove a file."""
        del dir_fd
        if path in self._folders:
            raise _error(errno.EISDIR, path)
        self._file(path)
        self._leave(path)
        del self._files[path]

    remove = unlink

    def rename(self, source: str, target: Any, *, src_dir_fd: None = None, dst_dir_fd: None = None) -> None:
        """Move a file over another, or a folder to where nothing is, or nothing is in it."""
        del src_dir_fd, dst_dir_fd
        target = os.fspath(target)
        if source in self._folders:
            if target in self._files:
                raise _error(errno.ENOTDIR, target)
            if self._folders.get(target):
                raise _error(errno.ENOTEMPTY, target)
        else:
            self._file(source)
            if target in self._folders:
                raise _error(errno.EISDIR, target)
        self._enter(target)
        self._leave(source)
        self._carry(source, target)

    replace = rename

    def link(self, source: str, target: Any) -> None:
        """A second name for a file."""
        target, file = os.fspath(target), self._file(source)
        if target in self._folders or target in self._files:
            raise _error(errno.EEXIST, target)
        self._enter(target)
        self._files[target] = file

    def symlink(self, target: Any, path: str, target_is_directory: bool = False) -> None:
        """A link to whatever has that name."""
        del target_is_directory
        if path in self._folders or path in self._files:
            raise _error(errno.EEXIST, path)
        self._check_space(path)
        self._enter(path)
        self._files[path] = Link(os.fspath(target), self._clock())
        self.linked(path)

    def readlink(self, path: str) -> str:
        """What a link names."""
        file = self._files.get(path)
        if isinstance(file, Link):
            return file.target
        raise _error(errno.EINVAL if file is not None or path in self._folders else errno.ENOENT, path)

    def listdir(self, path: str) -> list[str]:
        """The names in a folder."""
        return list(self._names(path))

    def scandir(self, path: str) -> Listing:
        """The same with what they are."""
        names = self._names(path)
        return Listing([Entry(path, name, *self._kind(f"{path}/{name}")) for name in names])

    def glob(self, path: str, pattern: str) -> Iterator[Path]:
        """``Path.glob`` of names in one folder: from Python 3.13 it keeps the system's ``scandir`` for itself."""
        if "/" in pattern or "**" in pattern:
            raise NotImplementedError(f"no history has looked for {pattern} so far: add it here")
        return (Path(path, name) for name in list(self._folders.get(path, ())) if fnmatchcase(name, pattern))

    def rmtree(self, path: str, ignore_errors: bool = False, *_: object, **__: object) -> None:
        """``shutil.rmtree``."""
        if path in self._folders:
            self._leave(path)
            self._forget(path)
        elif not ignore_errors:
            raise _error(errno.ENOENT if path not in self._files else errno.ENOTDIR, path)

    def _check_space(self, path: str) -> None:
        for folder, until in self.full_until.items():
            if path.startswith(folder) and self._clock() < until:
                raise _error(errno.ENOSPC, path)

    def _file(self, path: str) -> File:
        file = self._files.get(path)
        if file is None:
            raise _error(errno.ENOENT, path)
        return file

    def _seen(self, path: str) -> File:
        file = self._file(path)
        if isinstance(file, Link):
            raise NotImplementedError(f"no history has looked through a link so far ({path}): add it here")
        return file

    def _kind(self, path: str) -> tuple[bool, bool]:
        """Whether it is a folder, and whether it is a link."""
        return path in self._folders, isinstance(self._files.get(path), Link)

    def _names(self, path: str) -> dict[str, None]:
        if path in self._folders:
            return self._folders[path]
        raise _error(errno.ENOTDIR if path in self._files else errno.ENOENT, path)

    def _enter(self, path: str) -> None:
        folder, _, name = path.rpartition("/")
        self._names(folder)[name] = None

    def _leave(self, path: str) -> None:
        folder, _, name = path.rpartition("/")
        del self._folders[folder][name]

    def _carry(self, source: str, target: str) -> None:
        if source in self._files:
            self._files[target] = self._files.pop(source)
            return
        self._folders[target] = self._folders.pop(source)
        for name in self._folders[target]:
            self._carry(f"{source}/{name}", f"{target}/{name}")

    def _forget(self, path: str) -> None:
        for name in self._folders.pop(path):
            below = f"{path}/{name}"
            if self._files.pop(below, None) is None:
                self._forget(below)


def mount(disk: Disk) -> None:
    """Put it in place; in this process and for good."""
    names = (
        "stat",
        "lstat",
        "mkdir",
        "unlink",
        "remove",
        "rename",
        "replace",
        "link",
        "listdir",
        "scandir",
        "readlink",
    )
    if hasattr(tempfile, "_rmtree"):  # Debian 12's Python has one of its own
        tempfile._rmtree = _routed(tempfile._rmtree, disk.rmtree)  # noqa: SLF001 (nothing else leads there)
    for owner, name in (
        (io, "open"),
        (shutil, "rmtree"),
        (Path, "touch"),
        (Path, "glob"),
        *((os, name) for name in names),
    ):
        setattr(owner, name, _routed(getattr(owner, name), getattr(disk, name)))
    os.symlink = _exchanged(_routed(_exchanged(os.symlink), _exchanged(disk.symlink)))  # by where it is to be
    sys.addaudithook(_see_nothing_passes)


def _see_nothing_passes(event: str, words: tuple[object, ...]) -> None:
    if event in AUDITED and str(words[0]).startswith(ROOT):
        raise NotImplementedError(f"{event} of {words[0]} reaches the system's disk: add it to the disk in memory")


def _routed(system: Callable[..., Any], memory: Callable[..., Any]) -> Callable[..., Any]:
    def call(path: Any, *words: Any, **named: Any) -> Any:
        text = str(path) if isinstance(path, PurePath) else path
        if isinstance(text, str) and text.startswith(ROOT):
            return memory(text, *words, **named)
        return system(path, *words, **named)

    return call


def _exchanged(call: Callable[..., Any]) -> Callable[..., Any]:
    return lambda one, other, *words, **named: call(other, one, *words, **named)


_strerror = cache(os.strerror)


def _error(code: int, path: str) -> OSError:
    return OSError(code, _strerror(code), path)
