"""A real filesystem that runs full in the middle of an update: it waits, says so, and loses nothing."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from handlers.settings import Settings
from tests.handlers.conftest import Drop
from tests.support.processes.updater_process import start, status_of
from tests.support.stores.outcome import ended, hashes, learnt_once
from tests.support.waiting import wait_for

pytestmark = pytest.mark.slow

SIZE = 16 << 20


@pytest.fixture
def small_disk(settings: Settings) -> Iterator[Path]:
    """The data folder, the store in it, on a filesystem of its own of 16 MiB."""
    settings.data.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(settings.data)]
    try:
        done = subprocess.run(mount, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount command here")
    if done.returncode:
        pytest.skip(f"a filesystem of its own needs the right to mount: {done.stderr.strip()}")
    yield settings.data
    subprocess.run(["umount", str(settings.data)], check=True)


def fill(disk: Path) -> Path:
    """Leave nothing free."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        size = 1 << 20
        while size:
            try:
                while file.write(bytes(size)) == size:
                    pass
                size //= 2
            except OSError:
                size //= 2
    assert os.statvfs(disk).f_bavail == 0
    return filler


def test_a_full_disk_is_waited_out(small_disk: Path, settings: Settings, root: Path, drop: Drop) -> None:
    process = start(settings)
    try:
        wait_for(lambda: status_of(settings).get("lease", {}).get("state") == "active", process)
        drop("zero", 0)
        drop("one", 1, 8)
        filler = fill(small_disk)  # before or in any step: whichever comes next finds no room
        dropped = hashes(root, "incoming", "archive")
        errors = wait_for(
            lambda: [one for one in status_of(settings)["errors"] if "No space left" in one["message"]], process
        )
        assert all("; free space on its filesystem" in one["message"] for one in errors)
        assert hashes(root, "incoming", "archive") == dropped
        filler.unlink()
        done = wait_for(lambda: ended(root, "000001"), process)
        assert (done.result, done.version) == ("published", 1)
        assert hashes(root, "archive") == dropped
        learnt_once(root, 1)
    finally:
        process.kill()
        process.wait()


def test_an_updater_that_starts_on_a_full_disk_says_so_and_goes_on_when_there_is_room(
    small_disk: Path, settings: Settings, root: Path, drop: Drop
) -> None:
    first = start(settings)
    try:
        wait_for(lambda: status_of(settings).get("lease", {}).get("state") == "active", first)
    finally:
        first.kill()
        first.wait()
    drop("zero", 0)
    drop("one", 1, 8)
    filler = fill(small_disk)
    second = start(settings)
    try:
        wait_for(
            lambda: any("No space left" in one["message"] for one in status_of(settings).get("errors", ())), second
        )
        filler.unlink()
        done = wait_for(lambda: ended(root, "000001"), second)
        assert (done.result, done.version) == ("published", 1)
        learnt_once(root, 1)
    finally:
        second.kill()
        second.wait()
