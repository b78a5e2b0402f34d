"""``POST /api/predict``: the image goes on to the serving engine, and what that says comes back."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from handlers.settings import Settings
from handlers.sidecar.http import WebServer
from handlers.updater.http.app import make_app
from handlers.updater.service import Updater
from lucir_core.config.phase_config import load_preset
from model_store.directory.directory_store import DirectoryStore

FILE = {"content-type": "application/octet-stream"}


class Engine(BaseHTTPRequestHandler):
    """Answers as the body says: the real engine is asked in tests/end_to_end."""

    def do_POST(self) -> None:
        wish = json.loads(self.rfile.read(int(self.headers["content-length"])))
        body = wish["body"].replace("TOP", self.headers["top-k"]).encode()
        self.send_response(wish["status"])
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def engine() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Engine)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def asking(settings: Settings, store: DirectoryStore, port: int) -> Iterator[httpx.Client]:
    serving = settings.serving.model_copy(update={"port": port})
    updater = Updater(settings.model_copy(update={"serving": serving}), load_preset("digits"), store)
    web = WebServer(make_app(updater), "127.0.0.1", 0)
    web.start()
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{web.port}", timeout=30, trust_env=False) as http:
            yield http
    finally:
        web.stop()


@pytest.fixture
def client(settings: Settings, store: DirectoryStore, engine: int) -> Iterator[httpx.Client]:
    yield from asking(settings, store, engine)


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
    other = client.post("/api/predict", content=b"x", headers=FILE | {"origin": "http://example.org"})
    assert [answer.status_code for answer in (empty, large, form, other)] == [400, 413, 415, 403]


def test_an_engine_that_is_away(settings: Settings, store: DirectoryStore, engine: int) -> None:
    for client in asking(settings, store, 1):
        answer = client.post("/api/predict", content=b"x", headers=FILE)
        assert (answer.status_code, "does not answer" in answer.json()["error"]) == (503, True)
