"""A sample of the walk of pauses; ``make test-pauses`` walks every call (see benchmarks/faults/README.md)."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

POINTS = os.environ.get("PAUSE_POINTS", "1")


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "seed"), [("provisional", 1)])
def test_an_updater_that_wakes_late_changes_nothing(tmp_path: Path, kind: str, seed: int) -> None:
    output = tmp_path / "pauses.json"
    words = ["--kind", kind, "--writes", "--points", POINTS, "--seed", str(seed), "--output", str(output)]
    done = subprocess.run(
        [sys.executable, "-m", "tools.faults.pauses", *words],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(output.read_bytes())
    assert result["points"] == int(POINTS)
    assert result["points_that_differ"] == []
    assert "never" not in done.stderr
