"""``lucir demo --photos`` on a tiny folder: real stack, real drops, the baseline beside it."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_image

from tests.support.images import encoded

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def parts(name: str, count: int, turned: bool) -> list[bytes]:
    """Random parts of a photograph as JPEG files; upside down they are a class of their own."""
    photograph, random, files = load_sample_image(name), np.random.default_rng(1), []
    for _ in range(count):
        top, left = random.integers(0, 200), random.integers(0, 400)
        part = photograph[top : top + 220, left : left + 220]
        files.append(encoded(Image.fromarray(255 - part[::-1] if turned else part), "JPEG"))
    return files


def test_a_folder_of_photographs_is_told_as_a_story(tmp_path: Path) -> None:
    classes = {"flower": ("flower.jpg", False), "palace": ("china.jpg", False), "negative": ("china.jpg", True)}
    for name, (source, turned) in classes.items():
        (tmp_path / "in" / name).mkdir(parents=True)
        for number, data in enumerate(parts(source, 6, turned)):
            (tmp_path / "in" / name / f"{number}.jpg").write_bytes(data)
    command = [sys.executable, "-m", "handlers.cli.main", "demo", "--photos", str(tmp_path / "in"), "--output",
               str(tmp_path / "out")]  # fmt: skip
    ended = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    story = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))["stories"][0]
    assert [len(drop["classes"]) for drop in story["drops"]] == [2, 1], ended.stdout
    assert story["requests"]["failed"] == 0
    assert story["drops"][-1]["lucir"]["all"] >= 2 / 3
    assert set(story["drops"][0]) >= {"lucir", "baseline"}
    assert (tmp_path / "out" / "accuracy.png").stat().st_size > 10_000
    assert "HOG" in ended.stdout or ended.returncode == 0, ended.stdout
