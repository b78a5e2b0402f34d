"""``POST /api/corrections``: an image and its right class, from this machine or with the token."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from handlers.updater.service import Updater
from tests.handlers.conftest import DigitFiles
from tests.handlers.updater.http.conftest import serving

FILE = {"content-type": "application/octet-stream"}


@pytest.fixture
def client(updater: Updater) -> Iterator[httpx.Client]:
    with serving(updater) as http:
        http.headers.update(FILE)
        yield http


def test_the_image_is_put_into_its_class(client: httpx.Client, digit_files: DigitFiles, root: Path) -> None:
    image = digit_files[3][0]
    answer = client.post("/api/corrections", params={"class": "three"}, content=image)
    assert answer.status_code == 202
    assert (root / answer.json()["key"]).read_bytes() == image
    assert answer.json()["key"].endswith(".png")
    assert (root / "incoming" / "three" / "_READY").exists()


@pytest.mark.parametrize(
    ("parameters", "body", "status", "words"),
    [
        ({}, b"", 400, "name the right class"),
        ({"class": "_three"}, b"", 400, "underscore"),
        ({"class": "three"}, b"", 400, "the file is empty"),
        ({"class": "three"}, b"not an image", 400, "not an image"),
    ],
)
def test_what_cannot_be_learnt_is_refused(
    client: httpx.Client, root: Path, parameters: dict[str, str], body: bytes, status: int, words: str
) -> None:
    answer = client.post("/api/corrections", params=parameters, content=body)
    assert (answer.status_code, words in answer.json()["error"]) == (status, True), answer.text
    assert not (root / "incoming" / "three").exists()
