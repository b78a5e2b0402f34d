"""Where standard output leads, and what it can hold: no command ends in a traceback for that."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.handlers.cli.conftest import LUCIR, Run, clean_environment, refusal
from tests.support.waiting import PATIENCE

NAMES = ("größe 🐱.jpg", "b\udcffd.jpg")
LETTERS = [{"LC_ALL": "C"}, {"PYTHONIOENCODING": "ascii"}, {"PYTHONIOENCODING": "utf-8"}]
"""A lone surrogate, which stands for a byte that is no UTF-8, is in none of them."""


def answer(*_: object) -> tuple[int, bytes]:
    predictions = [{"class": "größe 🐱", "probability": 0.9}, {"class": "dog", "probability": 0.1}]
    return 200, json.dumps({"model_version": 7, "predictions": predictions}).encode()


@pytest.fixture
def images(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    for name in NAMES:
        (tmp_path / "in" / name).write_bytes(b"image")
    return tmp_path


@pytest.mark.parametrize("letters", LETTERS, ids=str)
@pytest.mark.usefixtures("images")
def test_names_that_the_output_cannot_hold(
    lucir_process: Run, serve: Callable[..., str], letters: dict[str, str]
) -> None:
    url = serve(answer)
    documents = json.loads(lucir_process("predict", "in", "--json", "--url", url, **letters).stdout)
    assert {document["image"] for document in documents} == {f"in/{name}" for name in NAMES}
    assert documents[0]["predictions"][0]["class"] == "größe 🐱"
    table = lucir_process("predict", "in", "--url", url, **letters)
    assert (table.returncode, table.stderr) == (0, "")
    assert "b\\udcffd.jpg" in table.stdout
    assert "2 images: gr" in table.stdout


def write_to(stdout: int, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*LUCIR, *words],
        cwd=folder,
        env=clean_environment(),
        stdout=stdout,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        timeout=PATIENCE,
        check=False,
    )


COMMANDS = [("--help",), ("versions",), ("versions", "--json")]


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    (tmp_path / "lucir-data" / "store").mkdir(parents=True)
    return tmp_path


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_full_disk_is_said_in_a_line(empty: Path, words: tuple[str, ...]) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        said = refusal(write_to(full, empty, *words))
    finally:
        os.close(full)
    assert said == "lucir: cannot use a file or the output: No space left on device; free space on its filesystem\n"


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_reader_that_has_gone_is_told_by_the_status(empty: Path, words: tuple[str, ...]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        assert refusal(write_to(writer, empty, *words)) == ""
    finally:
        os.close(writer)


def test_a_closed_output_takes_everything(empty: Path) -> None:
    closed = subprocess.run(
        ["sh", "-c", 'exec "$@" >&-', "sh", *LUCIR, "versions", "--json"],
        cwd=empty,
        env=clean_environment(),
        stderr=subprocess.PIPE,
        encoding="utf-8",
        timeout=PATIENCE,
        check=False,
    )
    assert (closed.returncode, closed.stderr) == (0, "")


LONG = "x" * 300


@pytest.mark.parametrize(
    "words",
    [
        ("predict", LONG),
        ("drop", LONG),
        ("correct", LONG, "--class", "cat"),
        ("image", "delete", LONG, "--yes"),
        ("versions", "--data", LONG),
        ("rollback", "1", "--data", LONG),
        ("export", "1", LONG),
        ("restore", LONG),
        ("bench", "report", LONG),
        ("demo", "--photos", LONG),
    ],
    ids=lambda words: " ".join(words[:2]).replace(LONG, "LONG"),
)
@pytest.mark.usefixtures("empty")
def test_what_the_system_says_of_a_file_is_a_line(lucir: Run, words: tuple[str, ...]) -> None:
    said = refusal(lucir(*words))
    assert "File name too long" in said
    assert len(said.splitlines()) == 1
