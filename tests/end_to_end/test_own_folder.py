"""A stack keeps to itself: it reaches nothing beyond this machine and writes nothing beyond its data folder."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.waiting import PATIENCE

UNSHARE = (shutil.which("unshare") or "unshare", "--net", "--map-root-user")
REACHING_OUT = ("ORT_", "LUCIR_", "XDG_", "LC_", "LANG", "TMPDIR", "CI", "HOME")
"""Variables of whoever runs the tests that would hide what a user sees (ONNX Runtime sends nothing from a CI)."""


def namespaces() -> bool:
    return subprocess.run([*UNSHARE, "true"], capture_output=True, check=False).returncode == 0


@pytest.mark.slow
@pytest.mark.skipif(not (shutil.which("unshare") and namespaces()), reason="this user may not make network namespaces")
def test_a_stack_in_a_bare_locale_reaches_and_leaves_nothing(tmp_path: Path) -> None:
    """``LC_ALL=C``, an accented data folder, every address, no route to anywhere: learnt and answered all the same."""
    home, temporary, here = (tmp_path / name for name in ("home", "tmp", "here"))
    for folder in (home, temporary, here):
        folder.mkdir()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(REACHING_OUT)}
    own = {"HOME": str(home), "TMPDIR": str(temporary), "LC_ALL": "C", "PYTHONPATH": str(Path(__file__).parents[2])}
    data = tmp_path / "données"
    done = subprocess.run(
        [*UNSHARE, sys.executable, "-m", "tests.support.processes.cut_off", data, tmp_path / "images"],
        cwd=here,
        env={**kept, **own},
        capture_output=True,
        encoding="utf-8",
        timeout=2 * PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["version"] == 1
    assert told["answered_by"] == [1, 1, 1]
    assert set(told["sent"].values()) == {0}, told["sent"]
    for folder in (home, temporary, here):
        assert [str(path) for path in folder.rglob("*")] == []
    assert (data / "store" / "versions" / "1" / "manifest.json").is_file()
