"""CUDA's multi-process service around runs side by side, with a stand-in for the command that a GPU brings along."""

import os
from pathlib import Path

import pytest

from handlers.cli.bench.shared_gpu import CONTROL, PIPES, shared_gpu


def _install(folder: Path, monkeypatch: pytest.MonkeyPatch, *, status: int = 0) -> Path:
    told = folder / "told"
    script = folder / CONTROL
    script.write_text(f'#!/bin/sh\necho "$@ $(test -t 0 || cat) in ${PIPES}" >> {told}\nexit {status}\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.delenv(PIPES, raising=False)
    return told


def test_it_runs_while_the_block_lasts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = _install(tmp_path, monkeypatch)
    with shared_gpu("cuda"):
        folder = os.environ[PIPES]
        assert Path(folder).is_dir()
        assert told.read_text().split() == ["-d", "in", folder]
    assert told.read_text().splitlines()[-1].split() == ["quit", "in", folder]
    assert PIPES not in os.environ
    assert not Path(folder).exists()


def test_a_service_that_does_not_start_is_told_and_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    told = _install(tmp_path, monkeypatch, status=1)
    with shared_gpu("cuda:0"):
        assert PIPES not in os.environ
    assert "the runs take turns on the GPU" in caplog.text
    assert len(told.read_text().splitlines()) == 1


def test_nothing_is_started_on_a_cpu_or_beside_another_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = _install(tmp_path, monkeypatch)
    with shared_gpu("cpu"):
        pass
    monkeypatch.setenv(PIPES, "/somewhere")
    with shared_gpu("cuda"):
        assert os.environ[PIPES] == "/somewhere"
    assert not told.exists()
