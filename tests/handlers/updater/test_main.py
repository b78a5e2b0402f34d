"""The process says clearly why it does not start."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from handlers.sidecar.process import EXIT_CONFIG, EXIT_UNAVAILABLE


def run(data: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
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
def test_wrong_settings(tmp_path: Path, environment: dict[str, str], words: str) -> None:
    done = run(tmp_path, **environment)
    assert done.returncode == EXIT_CONFIG
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_data_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("no folder")
    done = run(tmp_path / "data")
    assert done.returncode == EXIT_CONFIG
    assert "Traceback" not in done.stderr


def test_a_port_in_use(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = run(tmp_path, LUCIR_UPDATER__PORT=port)
    assert done.returncode == EXIT_UNAVAILABLE
    assert f"127.0.0.1:{port}" in done.stderr
    assert "LUCIR_UPDATER__PORT" in done.stderr
