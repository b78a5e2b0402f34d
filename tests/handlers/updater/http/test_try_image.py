"""``POST /api/predict``: the image goes on to the serving engine, and what that says comes back."""

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager

import httpx
import pytest

from handlers.settings import Settings
from handlers.updater.service import Updater
from lucir_core.config.phase_config import load_preset
from model_store.directory.directory_store import DirectoryStore
from tests.handlers.updater.http.conftest import serving
from tests.support.quick_settings import changed
from tests.support.servers import small_server
from tests.support.servers.small_server import Asked

FILE = {"content-type": "application/octet-stream"}


def as_told(asked: Asked) -> tuple[int, bytes]:
    """The answer that the body asks for: the real engine is asked in tests/end_to_end."""
    wish = json.loads(asked.body)
    return wish["status"], wish["body"].replace("TOP", asked.headers["top-k"]).encode()


@pytest.fixture
def engine() -> Iterator[int]:
    with small_server.serving(as_told) as port:
        yield port


def asking(settings: Settings, store: DirectoryStore, port: int) -> AbstractContextManager[httpx.Client]:
    return serving(Updater(changed(settings, serving={"port": port}), load_preset("digits"), store))


@pytest.fixture
def client(settings: Settings, store: DirectoryStore, engine: int) -> Iterator[httpx.Client]:
    with asking(settings, store, engine) as http:
        yield http


ANSWERS = [
    (200, '{"model_version": 1, "predictions": [TOP]}', 200, "[3]"),
    (400, '{"error": "the file is not an image"}', 400, "not an image"),
    (503, '{"code": 503, "type": "x", "message": "busy"}', 503, "busy"),
    (404, '{"code": 404, "message": "Model not found: lucir"}', 404, "no version is served yet"),
    (200, "<html>", 502, "answered 200"),
]


def test_the_engine_answers(client: httpx.Client) -> None:
    for status, body, answered, words in ANSWERS:
        answer = client.post("/api/predict?top_k=3", content=json.dumps({"status": status, "body": body}), headers=FILE)
        assert (answer.status_code, words in answer.text) == (answered, True), answer.text


def test_what_is_not_passed_on(client: httpx.Client, settings: Settings) -> None:
    empty = client.post("/api/predict", content=b"", headers=FILE)
    large = client.post("/api/predict", content=bytes(settings.images.max_bytes + 1), headers=FILE)
    form = client.post("/api/predict", data={"a": "b"})
    assert [answer.status_code for answer in (empty, large, form)] == [400, 413, 415]


def test_an_engine_that_is_away(settings: Settings, store: DirectoryStore, engine: int) -> None:
    with asking(settings, store, 1) as client:
        answer = client.post("/api/predict", content=b"x", headers=FILE)
        assert (answer.status_code, "does not answer" in answer.json()["error"]) == (503, True)


def test_the_token_stays_here_and_the_key_goes_on(settings: Settings, store: DirectoryStore) -> None:
    def seen(asked: Asked) -> tuple[int, bytes]:
        keys = {name: asked.headers.get(name) for name in ("authorization", "x-api-key")}
        return 200, json.dumps(keys).encode()

    with small_server.serving(seen) as port, asking(settings, store, port) as client:
        both = {"authorization": "Bearer token", "x-api-key": "key"}
        answer = client.post("/api/predict", content=b"x", headers=FILE | both)
        assert answer.json() == {"authorization": None, "x-api-key": "key"}
