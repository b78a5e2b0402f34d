"""A sample of the random kills; ``kills.py`` walks as many as wanted (see benchmarks/faults/README.md)."""

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tools.faults.outcome import counts, differences, expected_of
from tools.servers.minio_server import MINIO_MISSING, find_minio

HERE = "tools.faults"
POINTS = os.environ.get("KILL_POINTS", "4")
PATIENCE = 60.0 * int(POINTS)


def walk(tmp_path: Path, module: str, *words: str) -> dict[str, Any]:
    """In a process of its own: the updaters are forks of it, which a process with threads must not make."""
    output, log = tmp_path / "kills.json", tmp_path / "walk.log"
    with log.open("wb") as told:  # not a pipe: an updater that is left over would hold it open
        process = subprocess.Popen(
            [sys.executable, "-m", f"{HERE}.{module}", "--points", POINTS, "--output", output, *words],
            cwd=Path(__file__).parents[2],
            env={**os.environ, "TMPDIR": str(tmp_path)},
            stdout=told,
            stderr=told,
            start_new_session=True,
        )
    try:
        status = process.wait(PATIENCE)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)
    assert status == 0, log.read_text(encoding="utf-8", errors="replace")
    result: dict[str, Any] = json.loads(output.read_bytes())
    assert result["points"] == int(POINTS)
    assert result["kills"] > 0
    return result


@pytest.mark.slow
@pytest.mark.parametrize(
    "words", [["drop"], ["provisional"], ["edit"], ["relearn"], ["provisional", "--answers"]], ids=" ".join
)
def test_kills_at_random_calls_change_nothing(tmp_path: Path, words: list[str]) -> None:
    result = walk(tmp_path, "kills", "--kind", *words)
    assert (result["images_lost"], result["images_doubled"], result["runs_that_differ"]) == (0, 0, [])


@pytest.mark.slow
@pytest.mark.skipif(find_minio() is None, reason=MINIO_MISSING)
def test_kills_of_the_store_change_nothing(tmp_path: Path) -> None:
    result = walk(tmp_path, "store_kills")
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


def test_a_missing_provisional_version_is_forgiven_and_a_missing_learnt_one_is_not() -> None:
    versions = {
        "1": {"kind": "learnt", "parent": None},
        "2": {"kind": "provisional", "parent": 1},
        "3": {"kind": "learnt", "parent": 1},
    }
    whole = {"versions": versions, "pointer": (3, 2)}
    without = {"versions": {"1": versions["1"], "3": versions["3"]}, "pointer": (3, 1)}
    assert differences(without, expected_of(without, whole)) == []
    assert differences(whole, expected_of(whole, whole)) == []
    other = {"versions": {**versions, "2": {"kind": "provisional", "parent": 9}}, "pointer": (3, 2)}
    assert differences(other, expected_of(other, whole)) == ["/versions/2/parent: 9 instead of 1"]
    lost = {"versions": {"1": versions["1"], "2": versions["2"]}, "pointer": (2, 1)}
    assert len(differences(lost, expected_of(lost, whole))) == 2
