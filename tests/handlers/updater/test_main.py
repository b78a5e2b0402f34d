"""The process says clearly why it does not start."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from handlers.sidecar import process
from handlers.sidecar.process import EXIT_CONFIG, EXIT_UNAVAILABLE
from handlers.updater.__main__ import main

Start = Callable[..., tuple[int, str]]


@pytest.fixture
def start(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> Start:
    """Start it in this process, which has imported everything; gives its exit status and what it says."""

    def run(data: Path, **environment: str) -> tuple[int, str]:
        for name, value in {"LUCIR_DATA": str(data), **environment}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(process, "setup_logging", lambda *_: None)
        try:
            status = main([])
        except SystemExit as end:
            status = int(end.code or 0)
        return status, caplog.text + capsys.readouterr().err

    return run


def as_process(data: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "handlers.updater"],
        env={**os.environ, "LUCIR_DATA": str(data), **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"LUCIR_STORE": "file:///proc/nothing"}, "/proc/nothing"),
        ({"LUCIR_STORE": "ftp://x"}, "file:///path or s3://bucket"),
        ({"LUCIR_LEARNING__PRESET": "digitz"}, "digits"),
        ({"LUCIR_LEARNING__OVERRIDES": '{"epoch": 3}'}, "epochs"),
        ({"LUCIR_UPDATR__PORT": "1"}, "LUCIR_UPDATER"),
        (
            {"LUCIR_LEARNING__PRESET": "cifar100_icarl", "LUCIR_LEARNING__IMPRINT_FIRST": "true"},
            "icarl has a linear classifier",
        ),
    ],
)
def test_wrong_settings(tmp_path: Path, environment: dict[str, str], words: str, start: Start) -> None:
    status, said = start(tmp_path, **environment)
    assert status == EXIT_CONFIG
    assert words in said
    assert "Traceback" not in said


def test_a_data_folder_that_is_a_file(tmp_path: Path, start: Start) -> None:
    (tmp_path / "data").write_text("no folder")
    status, said = start(tmp_path / "data")
    assert status == EXIT_CONFIG
    assert str(tmp_path / "data") in said
    assert "Traceback" not in said


def test_a_port_in_use(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = as_process(tmp_path, LUCIR_UPDATER__PORT=port)
    assert done.returncode == EXIT_UNAVAILABLE
    assert f"127.0.0.1:{port}" in done.stderr
    assert "LUCIR_UPDATER__PORT" in done.stderr
    assert "Traceback" not in done.stderr
