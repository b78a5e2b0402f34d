"""The inference port in this process: addresses, methods, limits and ids, with a real model behind them."""

import base64
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from starlette.types import ASGIApp

from handlers.inference.api_keys import ApiKeys
from handlers.inference.traffic_metrics import TrafficMetrics
from handlers.labelling.unsure_images import UnsureImages, UnsureRules
from handlers.server.admission import WithKeys, with_origins
from handlers.server.batches import Batcher, BatchRules
from handlers.server.inference_app import RequestLimits, make_inference_app
from handlers.server.loaded_versions import LoadedVersions
from tests.handlers.torchserve.conftest import MakeImage, MakeVersion
from tests.support.servers.asgi_server import serving
from tests.support.servers.in_thread import InThread
from tests.support.servers.inference_server import answering_with
from tests.support.waiting import wait_for

PATH = "/predictions/lucir"
LARGEST = 100_000


@pytest.fixture
def models() -> InThread:
    return InThread()


@pytest.fixture
def versions(models: InThread, tmp_path: Path, make_version: MakeVersion) -> LoadedVersions:
    """Versions 1 and 2, of which 2 answers."""
    folders = {number: make_version(tmp_path / f"lucir-{number}", number) for number in (1, 2)}
    return models.known(folders, tmp_path / "answering.json")


@pytest.fixture
def statuses() -> list[tuple[str, int]]:
    """What the gateway has counted."""
    return []


@pytest.fixture
def client(versions: LoadedVersions, models: InThread, statuses: list[tuple[str, int]]) -> Iterator[httpx.Client]:
    def answered(target: str, status: int, _seconds: float) -> None:
        statuses.append((target, status))

    with answering_with(versions, models, body_bytes=LARGEST, answered=answered) as client:
        yield client


def test_a_version_is_named_by_path(client: httpx.Client, make_image: MakeImage) -> None:
    image = make_image()
    assert client.post(PATH, content=image).json()["model_version"] == 2
    assert client.put(PATH, content=image).json()["model_version"] == 2
    assert client.post(f"{PATH}/1", content=image).json()["model_version"] == 1
    for name in ("3", "x", "1x", "01234567890", "-1", "٣"):
        answer = client.post(f"{PATH}/{name}", content=image)
        assert answer.status_code == 404
        assert "loaded: 1, 2" in answer.json()["error"]


def test_open_inference_protocol(client: httpx.Client, make_image: MakeImage) -> None:
    image = base64.b64encode(make_image("青")).decode()
    body = {"inputs": [{"name": "i", "shape": [1], "datatype": "BYTES", "data": [image]}], "id": "7"}
    for path, version in (("/v2/models/lucir/infer", "2"), ("/v2/models/lucir/versions/1/infer", "1")):
        answer = client.post(path, json=body).json()
        assert (answer["id"], answer["model_version"], answer["outputs"][0]["data"][0]) == ("7", version, "青")
    metadata = client.get("/v2/models/lucir").json()
    assert metadata["versions"] == ["1", "2"]
    assert metadata["parameters"]["classes"] == ["rot", "grün", "青"]
    assert client.get("/v2/models/lucir/versions/1").json()["parameters"]["model_version"] == "1"
    for path in ("/v2/health/live", "/v2/health/ready", "/v2/models/lucir/ready", "/v2/models/lucir/versions/2/ready"):
        assert client.get(path).status_code == 200
    assert client.get("/v2/models/lucir/versions/9").status_code == 404


def test_what_the_model_is(client: httpx.Client) -> None:
    assert client.get("/models/lucir").json() == {
        "model_name": "lucir",
        "model_version": 2,
        "classes": ["rot", "grün", "青"],
        "input": {"size": 16, "resize": 20, "interpolation": "bilinear"},
    }


def test_before_a_version_is_there(client: httpx.Client, versions: LoadedVersions, make_image: MakeImage) -> None:
    versions.forget(2)
    answer = client.post(PATH, content=make_image())
    assert (answer.status_code, answer.json()) == (503, {"error": "no version is loaded yet: try again in a moment"})
    assert client.get("/v2/health/ready").status_code == 503
    assert client.get("/models/lucir").status_code == 503
    assert client.get("/ping").json() == {"status": "Healthy"}


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("GET", PATH, 405, {"POST", "PUT", "OPTIONS"}),
        ("TRACE", PATH, 405, {"POST", "PUT", "OPTIONS"}),
        ("HEAD", PATH, 405, {"POST", "PUT", "OPTIONS"}),
        ("OPTIONS", PATH, 204, {"POST", "PUT", "OPTIONS"}),
        ("DELETE", "/ping", 405, {"GET", "HEAD", "OPTIONS"}),
        ("HEAD", "/ping", 200, None),
        ("GET", "/ping/", 200, None),
        ("OPTIONS", "/models/lucir", 204, {"GET", "HEAD", "OPTIONS"}),
        ("POST", "/models/lucir", 405, {"GET", "HEAD", "OPTIONS"}),
        ("OPTIONS", "/nothing", 404, None),
        ("GET", "/models", 404, None),
        ("POST", "/predictions/other", 404, None),
        ("PUT", "/models/lucir/1/set-default", 404, None),
        ("GET", "/../../etc/passwd", 404, None),
    ],
)
def test_methods_and_addresses(
    client: httpx.Client, method: str, path: str, status: int, allow: set[str] | None
) -> None:
    answer = client.request(method, path)
    assert answer.status_code == status
    assert answer.headers.get("content-type") == ("application/json" if status != 204 else None)
    if allow is not None:
        assert set(answer.headers["allow"].split(", ")) == allow
    if method == "HEAD":
        assert answer.content == b""
    else:
        assert status in (200, 204) or list(answer.json()) == ["error"]


def test_a_body_that_is_too_large_is_refused_before_it_is_read(client: httpx.Client, make_image: MakeImage) -> None:
    answer = client.post(PATH, content=bytes(LARGEST + 1))
    assert answer.status_code == 413
    assert str(LARGEST) in answer.json()["error"]

    def endless() -> Iterator[bytes]:
        for _ in range(1000):
            yield bytes(10_000)

    assert client.post(PATH, content=endless()).status_code == 413
    assert client.post(PATH, content=make_image()).status_code == 200


def test_forms(client: httpx.Client, make_image: MakeImage) -> None:
    image = make_image("grün")
    assert client.post(PATH, files={"data": ("a.jpg", image)}, data={"top_k": "1"}).json()["predictions"][1:] == []
    boundary = {"Content-Type": "multipart/form-data; boundary=x"}
    for body, headers in (
        (b"", {"Content-Type": "multipart/form-data"}),
        (b"no form", boundary),
        (b'--x\r\nContent-Disposition: form-data; name="data"\r\n\r\n' + image, boundary),
        (b"--x\r\n" * 100, boundary),
    ):
        answer = client.post(PATH, content=body, headers=headers)
        assert answer.status_code == 400, body[:40]
        assert answer.json()["error"]


def test_request_ids_are_echoed_when_harmless(client: httpx.Client) -> None:
    assert client.get("/ping", headers={"X-Request-ID": "a-1_b.2"}).headers["x-request-id"] == "a-1_b.2"
    for strange in ("a b", "x" * 200, 'a"b', ""):
        made = client.get("/ping", headers={"X-Request-ID": strange}).headers["x-request-id"]
        assert made != strange
        assert len(made) == 32


def test_every_answer_is_counted(client: httpx.Client, statuses: list[tuple[str, int]], make_image: MakeImage) -> None:
    client.post(f"{PATH}?probe", content=make_image())
    client.post(PATH, content=b"no image")
    client.get("/nothing")
    wait_for(lambda: len(statuses) == 3)  # counted once the answer is on its way
    assert statuses == [(f"{PATH}?probe", 200), (f"{PATH}?", 400), ("/nothing?", 404)]


def test_a_full_queue_says_so(versions: LoadedVersions, make_image: MakeImage) -> None:
    batcher = Batcher(versions, BatchRules(1, 1), TrafficMetrics(), [])
    app = make_inference_app(versions, batcher, RequestLimits(LARGEST, 10, 0.05))
    with serving(app, batcher.start) as client:
        first, second = (client.post(PATH, content=make_image()) for _ in range(2))
    assert first.status_code == 503
    assert "no answer within" in first.json()["error"]
    assert second.status_code == 429
    assert "1 requests wait already" in second.json()["error"]
    assert second.headers["retry-after"] == "1"


def test_nested_json_is_the_clients_fault(client: httpx.Client) -> None:
    answer = client.post("/v2/models/lucir/infer", content=b'{"inputs":' + b"[" * 40_000)
    assert (answer.status_code, bool(answer.json()["error"])) == (400, True)


def test_keys(versions: LoadedVersions, models: InThread, make_image: MakeImage) -> None:
    with answering_with(versions, models, wrap=lambda app: WithKeys(app, ApiKeys.of(["old", "ключ"]))) as client:
        for headers in ({}, {"x-api-key": "new"}, {"authorization": "Bearer"}, {"authorization": "Basic old"}):
            answer = client.post(PATH, content=make_image(), headers=headers)
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == "Bearer"
            assert "API keys" in answer.json()["error"]
        for headers in ({"x-api-key": "old"}, {"authorization": "bearer old"}):
            assert client.post(PATH, content=make_image(), headers=headers).status_code == 200
        assert client.get("/models/lucir").status_code == 401
        assert client.get("/ping").status_code == client.get("/v2/health/ready").status_code == 200


def test_web_pages_of_chosen_origins(versions: LoadedVersions, models: InThread, make_image: MakeImage) -> None:
    def wrap(app: ASGIApp) -> ASGIApp:
        return with_origins(WithKeys(app, ApiKeys.of(["key"])), ("https://a.example",))

    with answering_with(versions, models, wrap=wrap) as client:
        asked = {"Origin": "https://a.example", "Access-Control-Request-Method": "POST"}
        answer = client.options(PATH, headers={**asked, "Access-Control-Request-Headers": "x-api-key"})
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == "https://a.example"
        assert client.options(PATH, headers={**asked, "Origin": "https://b.example"}).status_code == 400
        headers = {"Origin": "https://a.example", "x-api-key": "key"}
        answer = client.post(PATH, content=make_image(), headers=headers)
        assert answer.headers["access-control-allow-origin"] == "https://a.example"
        refused = client.post(PATH, content=make_image(), headers={"Origin": "https://a.example"})
        assert refused.status_code == 401
        assert refused.headers["access-control-allow-origin"] == "https://a.example"  # or no page could read it


def test_what_an_answer_was_unsure_of_is_kept(make_version: MakeVersion, make_image: MakeImage, tmp_path: Path) -> None:
    rules = UnsureRules(tmp_path / "unsure", images=5, below=1.0)
    models = InThread(unsure=UnsureImages(rules))
    versions = models.known({1: make_version(tmp_path / "lucir-1", 1)}, tmp_path / "answering.json")
    with answering_with(versions, models) as client:
        client.post("/predictions/lucir", content=make_image("rot"))
        client.post("/predictions/lucir", content=make_image("grün"), headers={"x-do-not-keep": "1"})
    assert [one.guess.class_name for one in UnsureImages(rules).newest(5)] == ["rot"]
