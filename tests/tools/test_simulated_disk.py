"""The disk in memory does what the system's does."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tools.simulation.disk import ROOT, Disk

Call = tuple[str, *tuple[str, ...]]

CASES: dict[str, tuple[Call, ...]] = {
    "a file": (("write", "a", "one"), ("read", "a"), ("write", "a", ""), ("read", "a"), ("stat", "a")),
    "what is not there": (
        ("read", "a"),
        ("stat", "a"),
        ("unlink", "a"),
        ("listdir", "a"),
        ("rmtree", "a"),
        ("rename", "a", "b"),
        ("link", "a", "b"),
        ("write", "a/b", "one"),
        ("mkdir", "a/b"),
    ),
    "a folder": (("mkdir", "d"), ("mkdir", "d"), ("write", "d", "one"), ("read", "d"), ("unlink", "d"), ("stat", "d")),
    "a file in the place of a folder": (("write", "a", "one"), ("mkdir", "a"), ("listdir", "a"), ("rmtree", "a")),
    "a file over another": (
        ("write", "a", "one"),
        ("write", "b", "two"),
        ("rename", "a", "b"),
        ("read", "b"),
        ("read", "a"),
    ),
    "a folder moves with all in it": (
        ("mkdir", "d"),
        ("mkdir", "d/e"),
        ("write", "d/e/a", "one"),
        ("rename", "d", "f"),
        ("read", "f/e/a"),
        ("stat", "d"),
        ("scandir", "f"),
    ),
    "a folder over others": (
        ("mkdir", "d"),
        ("mkdir", "empty"),
        ("mkdir", "full"),
        ("write", "full/a", "one"),
        ("write", "b", "one"),
        ("rename", "d", "full"),
        ("rename", "d", "b"),
        ("rename", "b", "d"),
        ("rename", "d", "empty"),
        ("stat", "d"),
    ),
    "two names of a file": (
        ("write", "a", "one"),
        ("link", "a", "b"),
        ("link", "a", "b"),
        ("unlink", "a"),
        ("read", "b"),
        ("link", "b", "c"),
        ("write", "c", "two"),
        ("read", "b"),
    ),
    "a file that is touched": (
        ("touch", "a"),
        ("write", "a", "one"),
        ("touch", "a"),
        ("read", "a"),
        ("touch", "d/a"),
        ("mkdir", "d"),
        ("touch", "d"),
        ("listdir", "d"),
    ),
    "a link": (
        ("symlink", "l", "lucir-3"),
        ("symlink", "l", "lucir-4"),
        ("readlink", "l"),
        ("lstat", "l"),
        ("symlink", "new", "lucir-5"),
        ("rename", "new", "l"),
        ("readlink", "l"),
        ("readlink", "new"),
        ("mkdir", "d"),
        ("readlink", "d"),
        ("write", "a", "one"),
        ("readlink", "a"),
        ("symlink", "a", "lucir-5"),
        ("symlink", "none/l", "lucir-5"),
        ("symlink", "d/l", "lucir-5"),
        ("scandir", "d"),
        ("unlink", "l"),
        ("readlink", "l"),
    ),
    "all of a folder": (
        ("mkdir", "d"),
        ("mkdir", "d/e"),
        ("write", "d/e/a", "one"),
        ("rmtree", "d"),
        ("stat", "d/e/a"),
    ),
}


SYSTEM = SimpleNamespace(
    **{**vars(os), "open": open, "rmtree": shutil.rmtree, "touch": lambda path: Path(path).touch()}
)


def told(disk: Any, folder: str, call: Call) -> object:
    """What a call gives, or the number of its error."""
    name, *words = call
    path = f"{folder}/{words[0]}"
    try:
        if name == "write":
            with disk.open(path, "w", encoding="utf-8") as file:
                return file.write(words[1]) and None
        if name == "read":
            with disk.open(path, "rb") as file:
                return file.read()
        if name in {"stat", "lstat"}:
            found = getattr(disk, name)(path)
            return found.st_mode & 0o170000, found.st_size if found.st_mode & 0o100000 else None
        if name in {"rename", "link"}:
            return getattr(disk, name)(path, f"{folder}/{words[1]}")
        if name == "symlink":
            return disk.symlink(words[1], path)
        if name == "scandir":
            with disk.scandir(path) as entries:
                return sorted((one.name, one.path[len(folder) :], one.is_dir(), one.is_symlink()) for one in entries)
        answer = getattr(disk, name)(path)
        return sorted(answer) if isinstance(answer, list) else answer
    except OSError as error:
        return error.errno


@pytest.mark.parametrize("calls", CASES.values(), ids=CASES.keys())
def test_it_answers_as_the_system(tmp_path: Path, calls: tuple[Call, ...]) -> None:
    disk = Disk(lambda: 7.0)
    for call in calls:
        assert told(disk, ROOT, call) == told(SYSTEM, str(tmp_path), call), call


def test_a_file_has_the_time_of_its_last_writing() -> None:
    moments = iter((1.0, 2.0))
    disk = Disk(lambda: next(moments))
    for _ in range(2):
        disk.open(f"{ROOT}/a", "wb").close()
    assert disk.stat(f"{ROOT}/a").st_mtime == 2.0


def test_a_new_disk_is_empty() -> None:
    disk = Disk(lambda: 0.0)
    disk.mkdir(f"{ROOT}/d")
    disk.clear()
    assert disk.listdir(ROOT) == ["temporary"]


def test_nobody_looks_through_a_link() -> None:
    disk = Disk(lambda: 0.0)
    disk.symlink("lucir-3", f"{ROOT}/l")
    for look in (disk.open, disk.stat, disk.touch):
        with pytest.raises(NotImplementedError, match="looked through a link"):
            look(f"{ROOT}/l")


def test_a_mode_that_nobody_used_is_refused() -> None:
    with pytest.raises(NotImplementedError, match="mode 'a'"):
        Disk(lambda: 0.0).open(f"{ROOT}/a", "a")


@pytest.mark.slow
def test_what_it_cannot_do_does_not_reach_the_system() -> None:
    """In a process of its own: what is put in place stays."""
    code = (
        "import os\n"
        "from pathlib import Path\n"
        "from tools.simulation.disk import ROOT, Disk, mount\n"
        "mount(Disk(lambda: 0.0))\n"
        "Path(ROOT, 'a').write_text('one')\n"
        "Path(ROOT, 'a').touch()\n"
        "Path(ROOT, 'l').symlink_to('lucir-3')\n"
        "print(Path(ROOT, 'a').read_text(), Path(ROOT, 'l').readlink(), os.listdir(ROOT))\n"
        "Path(ROOT, 'a').chmod(0o600)\n"
    )
    words = [sys.executable, "-c", code]
    done = subprocess.run(
        words, cwd=Path(__file__).parents[2], capture_output=True, text=True, encoding="utf-8", check=False
    )
    assert done.stdout == "one lucir-3 ['temporary', 'a', 'l']\n"
    assert "NotImplementedError: os.chmod of /lucir-disk-in-memory/a" in done.stderr
