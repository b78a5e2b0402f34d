"""The OpenAPI description, and what a running server answers to requests made from it, right and wrong ones."""

import base64
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.generation import GenerationMode
from starlette.routing import Route

from handlers.inference.traffic_metrics import TrafficMetrics
from handlers.server.batches import Batcher, BatchRules
from handlers.server.description import openapi
from handlers.server.inference_app import RequestLimits, make_inference_app
from tests.handlers.torchserve.conftest import MakeImage
from tests.support.servers.in_thread import InThread
from tests.support.servers.inference_server import answering
from tests.support.waiting import PATIENCE

EXAMPLES = 6
"""Of each operation, of right ones and of wrong ones."""
OLDER = {"/lucir/predict", "/lucir/{version}/predict", "/models/lucir/invoke", "/invocations"}
"""Other servers' addresses of the same, which nobody has to know."""


@pytest.fixture(scope="module")
def client(
    tmp_path_factory: pytest.TempPathFactory, make_version: Callable[..., Path], make_image: MakeImage
) -> Iterator[httpx.Client]:
    images = st.sampled_from([make_image(name, form) for name in ("rot", "青") for form in ("JPEG", "PNG")])
    schemathesis.openapi.format("image-base64", images.map(lambda data: base64.b64encode(data).decode()))
    schemathesis.openapi.format("binary", images)
    for kind in ("application/octet-stream", "image/*"):
        schemathesis.openapi.media_type(kind, images)
    with answering(tmp_path_factory.mktemp("openapi"), make_version, body_bytes=20 << 20) as client:
        yield client


def test_every_address_is_described(tmp_path: Path) -> None:
    versions = InThread().known({}, tmp_path / "answering.json")
    batcher = Batcher(versions, BatchRules(8, 50), TrafficMetrics(), [])
    app = make_inference_app(versions, batcher, RequestLimits(1000, 1, 1))
    found = {route.path: set(route.methods or ()) - {"HEAD"} for route in app.routes if isinstance(route, Route)}
    described = {
        path: {method.upper() for method in item} & {"GET", "POST", "PUT"} for path, item in openapi()["paths"].items()
    }
    assert {path: methods for path, methods in found.items() if path not in OLDER} == {
        path: methods | ({"PUT"} if "POST" in methods else set()) for path, methods in described.items()
    }


def test_the_description_is_a_file_without_a_server() -> None:
    command = [sys.executable, "-m", "handlers.server.description"]
    assert json.loads(subprocess.run(command, check=True, capture_output=True, timeout=PATIENCE).stdout) == openapi()


@pytest.mark.slow
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["right", "wrong"])
def test_answers_are_what_the_description_says(client: httpx.Client, mode: GenerationMode) -> None:
    schema = schemathesis.openapi.from_url(f"{client.base_url}/openapi.json")
    for result in schema.get_all_operations():
        operation = result.ok()
        if mode is GenerationMode.NEGATIVE and not any((*operation.iter_parameters(), *operation.body)):
            continue  # without anything to be sent, nothing can be wrong

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def ask(case: Any) -> None:
            case.call_and_validate(base_url=str(client.base_url))

        ask()
