"""The uvicorn engine's inference port in this process, with one version that answers."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from handlers.inference.preprocess import Limits
from handlers.inference.traffic_metrics import TrafficMetrics
from handlers.server.batches import Batcher, BatchRules
from handlers.server.gateway import Gateway
from handlers.server.inference_app import RequestLimits, make_inference_app
from tests.support.asgi_server import serving
from tests.support.in_thread import InThread

LARGEST_BODY = 200_000


@contextmanager
def answering(
    folder: Path,
    make_version: Callable[..., Path],
    *,
    body_bytes: int = LARGEST_BODY,
    body_seconds: float = 10,
    **listener: Any,
) -> Iterator[httpx.Client]:
    """A client of version 1; ``listener``: what ``make_config`` takes."""
    models = InThread(Limits(max_pixels=1_000_000))
    versions = models.known({1: make_version(folder / "lucir-1", 1)}, folder / "answering.json")
    batcher = Batcher(versions, BatchRules(8, 50), TrafficMetrics(), [models])
    app = make_inference_app(versions, batcher, RequestLimits(body_bytes, body_seconds, 30))
    with serving(Gateway(app, lambda *_: None), batcher.start, **listener) as client:
        yield client
    batcher.stop()
