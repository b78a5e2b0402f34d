"""Files of arrays: as NumPy reads them, and on a disk that is full."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lucir_core.files import ArrayFile

SMALL = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
"""A shell with mounts of its own."""
FILLS = """
import sys
from pathlib import Path
import numpy as np
from lucir_core.files import ArrayFile
array = ArrayFile(Path(sys.argv[1]) / "array.npy", (1000, 64, 64, 3))
try:
    for row in range(1000):
        array.write(row, np.ones((1, 64, 64, 3), np.uint8))
except OSError as error:
    print("row", row, error.strerror)
"""


def test_an_array_is_filled_in_any_order_and_only_what_is_written_takes_space(tmp_path: Path) -> None:
    path, shape = tmp_path / "array.npy", (100_000, 8, 8, 3)
    rows = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3)).astype(np.uint8)
    array = ArrayFile(path, shape)
    array.write(70_000, rows)
    array.write(1, rows[::-1])
    array.sync()
    read = np.load(path, mmap_mode="r")
    assert read.shape == shape
    assert (read[70_000:70_003] == rows).all()
    assert (read[1:4] == rows[::-1]).all()
    assert not read[0].any()
    assert path.stat().st_blocks * 512 < 1 << 20


def test_an_array_may_have_no_rows(tmp_path: Path) -> None:
    ArrayFile(tmp_path / "array.npy", (0, 8, 8, 3)).sync()
    assert np.load(tmp_path / "array.npy", mmap_mode="r").shape == (0, 8, 8, 3)


def test_a_disk_that_fills_is_an_error_and_not_the_end_of_the_process(tmp_path: Path) -> None:
    mounted = 'mount -t tmpfs -o size=1m none "$0" && exec "$1" -c "$2" "$0"'
    try:
        subprocess.run([*SMALL, "mount -t tmpfs none /mnt"], capture_output=True, check=True, timeout=60)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no small disk can be made here: {error}")
    command = [*SMALL, mounted, str(tmp_path), sys.executable, FILLS]
    told = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (told.returncode, told.stderr) == (0, "")
    row, reason = told.stdout.split(maxsplit=2)[1:]
    assert 60 < int(row) < 86  # of 12 KiB each
    assert reason == "No space left on device\n"
