"""``POST /api/corrections``: an image and its right class, from this machine or with the token."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from handlers.settings import Settings
from handlers.sidecar.http import WebServer
from handlers.updater.http.app import make_app
from handlers.updater.service import Updater
from lucir_core.config.phase_config import load_preset
from model_store.directory.directory_store import DirectoryStore
from tests.handlers.conftest import DigitFiles

FILE = {"content-type": "application/octet-stream"}


@pytest.fixture
def client(settings: Settings, store: DirectoryStore) -> Iterator[httpx.Client]:
    server = WebServer(make_app(Updater(settings, load_preset("digits"), store)), "127.0.0.1", 0)
    server.start()
    try:
        with httpx.Client(
            base_url=f"http://127.0.0.1:{server.port}", timeout=10, trust_env=False, headers=FILE
        ) as http:
            yield http
    finally:
        server.stop()


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


def test_a_page_of_somebody_else_may_not(client: httpx.Client, digit_files: DigitFiles, root: Path) -> None:
    for headers, status in (({"origin": "http://example.org"}, 403), ({"content-type": "text/plain"}, 415)):
        answer = client.post("/api/corrections", params={"class": "three"}, content=digit_files[3][0], headers=headers)
        assert answer.status_code == status
    assert not (root / "incoming" / "three").exists()
