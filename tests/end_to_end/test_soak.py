"""The shortest soak: predictions go on, none fails, while the learning child is killed and the updater stops."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SEED = "32"
"""With it the second drop kills the learning child, the third stops the updater for two seconds."""


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_predictions_go_on_while_processes_are_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.soak.run", "--drops", "3", "--seed", SEED]
    done = subprocess.run(
        [*command, "--output", str(tmp_path)], cwd=ROOT, capture_output=True, text=True, timeout=840, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads((tmp_path / "result.json").read_bytes())
    assert (result["drops"], result["versions"]) == (3, 3)
    assert sum(result["killed"].values()) + sum(result["paused"].values()) >= 1
    assert result["requests"] > 50
    assert result["failed_requests"] == 0
    assert (result["images_lost"], result["images_doubled"], result["images_left_in_incoming"]) == (0, 0, 0)
    assert (tmp_path / "memory.png").stat().st_size > 1000
