"""A way to run ``lucir`` as a user does, and a small HTTP server that answers as told."""

import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from handlers.cli.main import main
from tests.support.servers.small_server import serving
from tests.support.waiting import PATIENCE

Answer = Callable[[str, str, bytes], tuple[int, bytes]]
"""(method, path, body) -> (status, body)."""

LUCIR = (sys.executable, "-m", "handlers.cli.main")
Run = Callable[..., subprocess.CompletedProcess[str]]


def clean_environment() -> dict[str, str]:
    """This process's environment without settings, on a wide terminal."""
    return {name: value for name, value in os.environ.items() if not name.startswith("LUCIR_")} | {"COLUMNS": "200"}


@pytest.fixture
def lucir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run ``main`` in ``tmp_path``, without settings of the environment; in this process, for the sake of time."""

    def run(*arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
        words = ["lucir", *map(str, arguments)]
        out, err, status = io.StringIO(), io.StringIO(), 0
        with monkeypatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            patch.chdir(tmp_path)
            patch.setattr(sys, "argv", words)
            patch.setattr(os, "environ", clean_environment() | variables)
            try:
                main()
            except SystemExit as end:
                status = int(end.code or 0)
        return subprocess.CompletedProcess(words, status, out.getvalue(), err.getvalue())

    return run


@pytest.fixture
def lucir_process(tmp_path: Path) -> Run:
    """The same as a process of its own."""

    def run(*arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*LUCIR, *map(str, arguments)],
            cwd=tmp_path,
            env=clean_environment() | variables,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    return run


@pytest.fixture
def serve() -> Iterator[Callable[[Answer], str]]:
    """Start servers on free ports; each answers requests with a function. Gives the address."""
    with ExitStack() as kept:

        def start(answer: Answer) -> str:
            port = kept.enter_context(serving(lambda asked: answer(asked.method, asked.path, asked.body)))
            return f"http://127.0.0.1:{port}"

        yield start


def refusal(answer: subprocess.CompletedProcess[str], status: int = 1) -> str:
    """What a command that has failed says."""
    assert answer.returncode == status, answer.stdout
    assert "Traceback" not in answer.stderr
    return answer.stderr
