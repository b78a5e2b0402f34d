"""A sample of the random kills; ``kills.py`` walks as many as wanted (see benchmarks/README.md)."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.handlers.updater.faults.outcome import counts, differences

POINTS = os.environ.get("KILL_POINTS", "6")


@pytest.mark.slow
def test_kills_at_random_calls_change_nothing(tmp_path: Path) -> None:
    """In a process of its own: the updaters are forks of it, which a process with threads must not make."""
    output = tmp_path / "kills.json"
    done = subprocess.run(
        [sys.executable, "-m", "tests.handlers.updater.faults.kills", "--points", POINTS, "--output", output],
        cwd=Path(__file__).parents[4],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(output.read_bytes())
    assert result["points"] == int(POINTS)
    assert result["kills"] > 0
    assert (result["images_lost"], result["images_doubled"], result["runs_that_differ"]) == (0, 0, [])


def test_the_comparison_sees_what_is_lost_doubled_or_changed() -> None:
    whole = {"archive": {"a": "1", "b": "2"}, "rejected": {"c": "3", "c.reason.json": "bad"}, "incoming": {}}
    assert differences(whole, whole) == []
    assert counts(whole, whole) == (0, 0)
    missing = {**whole, "archive": {"a": "1"}}
    assert counts(missing, whole) == (1, 0)
    assert differences(missing, whole) == ["/archive/b: nothing instead of 2"]
    twice = {**whole, "incoming": {"a": "1"}}
    assert counts(twice, whole) == (0, 1)
    assert differences(twice, whole) == ["/incoming/a: 1 instead of nothing"]
