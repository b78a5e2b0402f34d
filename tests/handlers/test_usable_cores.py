"""How many cores a process may use: beside its affinity, what its control groups say."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from handlers import parallel

ASKED = "from handlers.parallel import few_threads, usable_cores; print(usable_cores(), few_threads())"
FIRST_KIND = Path("/sys/fs/cgroup/cpu")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of 64 cores, without control groups so far."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    monkeypatch.setattr(parallel, "_GROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(parallel, "_MOUNTED", tmp_path / "mounted")
    return tmp_path


def group(machine: Path, line: str, files: dict[str, str]) -> None:
    """This process is in the group of the line; files below the mount say what they say."""
    (machine / "cgroup").write_text(f"{line}\n", encoding="utf-8")
    for name, text in files.items():
        path = machine / "mounted" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n", encoding="utf-8")


def first_kind(folder: str, quota: int, period: int = 100000) -> dict[str, str]:
    """The files of a control group of the first kind."""
    return {f"{folder}/cpu.cfs_quota_us": str(quota), f"{folder}/cpu.cfs_period_us": str(period)}


@pytest.mark.parametrize(
    ("line", "files", "expected"),
    [
        ("0::/", {"cpu.max": "200000 100000"}, 2),  # a container's own view
        ("0::/", {"cpu.max": "50000 100000"}, 1),  # at least one
        ("0::/a.slice/b.service", {"a.slice/b.service/cpu.max": "max 100000", "a.slice/cpu.max": "300000 100000"}, 3),
        ("0::/a.slice/b.service", {"a.slice/b.service/cpu.max": "200000 50000"}, 4),
        ("0::/../../outside", {"cpu.max": "500000 100000"}, 5),
        ("4:cpu,cpuacct:/docker/1", first_kind("cpu,cpuacct", 600000), 6),
        ("1:cpu:/a", first_kind("cpu/a", 70000, 10000), 7),
    ],
)
def test_a_quota_counts_wherever_it_is_set(machine: Path, line: str, files: dict[str, str], expected: int) -> None:
    group(machine, line, files)
    assert parallel.usable_cores() == expected
    assert parallel.few_threads() == {"OMP_NUM_THREADS": str(expected)}


@pytest.mark.parametrize(
    ("line", "files"),
    [
        ("0::/", {"cpu.max": "max 100000"}),
        ("0::/", {"cpu.max": "999900000 100000"}),
        ("0::/", {"cpu.max": "rubbish"}),
        ("1:cpu:/", first_kind("cpu", -1)),
        ("3:cpuset:/a", first_kind("cpuset/a", 70000)),
    ],
)
def test_without_a_quota_all_cores_count_and_libraries_choose(machine: Path, line: str, files: dict[str, str]) -> None:
    group(machine, line, files)
    assert parallel.usable_cores() == 64
    assert parallel.few_threads() == {}


def test_a_machine_without_control_groups_has_its_cores(machine: Path) -> None:
    assert parallel.usable_cores() == 64, machine


@pytest.fixture
def small_group() -> Iterator[Path]:
    """A real control group that is worth one core."""
    folder = FIRST_KIND / f"lucir-test-{os.getpid()}"
    try:
        folder.mkdir()
        (folder / "cpu.cfs_quota_us").write_text("100000", encoding="ascii")
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error}")
    yield folder
    folder.rmdir()


def test_a_process_in_a_real_control_group_keeps_within_it(small_group: Path) -> None:
    entered = 'echo $$ > "$0/cgroup.procs" && exec "$1" -c "$2"'
    command = ["sh", "-c", entered, str(small_group), sys.executable, ASKED]
    told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert told.stdout == "1 {'OMP_NUM_THREADS': '1'}\n"
