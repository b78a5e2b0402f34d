"""``lucir demo`` as a process: every part runs, and what falls short makes it fail."""

import json
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from tests.support.processes.stack import LUCIR, environment
from tools.processes import FAST

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_a_demo_that_hardly_learns_runs_to_its_end_and_says_what_fell_short(tmp_path: Path) -> None:
    settings = [word for assignment in FAST[1:] for word in ("--set", assignment)]
    answer = subprocess.run(
        [*LUCIR, "demo", "--output", str(tmp_path / "out"), *settings],
        env=environment() | {"TMPDIR": str(tmp_path), "COLUMNS": "200", "LUCIR_STORE": "s3://somebody-elses"},
        capture_output=True,
        text=True,
        timeout=840,
        check=False,
    )
    assert (tmp_path / "out" / "results.json").exists(), answer.stdout + answer.stderr
    result = json.loads((tmp_path / "out" / "results.json").read_text())
    (story,) = result["stories"]
    assert [drop["classes"] for drop in story["drops"]] == [list("01234"), list("56"), list("789")]
    assert [drop["version"] for drop in story["drops"]] == [1, 2, 3]
    assert story["requests"]["failed"] == 0
    assert story["requests"]["sent"] > 50
    assert all(drop["served_after_seconds"] > 0 for drop in story["drops"])
    assert 0 < story["peak_memory_bytes"] < 4 * 1024**3
    assert {drop["finetuning"]["old"] is None for drop in story["drops"]} == {True, False}
    assert answer.returncode == 1, answer.stdout
    assert "fell short: seed 1: accuracy" in answer.stdout
    with Image.open(tmp_path / "out" / "accuracy.png") as plot:
        assert plot.size[0] > 1000
    assert not list(tmp_path.glob("lucir-demo-*"))
