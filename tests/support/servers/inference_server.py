"""The uvicorn engine's inference port in this process, with one version that answers."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from starlette.types import ASGIApp

from handlers.inference.preprocess import Limits
from handlers.inference.traffic_metrics import TrafficMetrics
from handlers.server.batches import Batcher, BatchRules
from handlers.server.gateway import Gateway
from handlers.server.inference_app import RequestLimits, make_inference_app
from handlers.server.loaded_versions import LoadedVersions
from tests.support.servers.asgi_server import serving
from tests.support.servers.in_thread import InThread

LARGEST_BODY = 200_000


@contextmanager
def answering_with(
    versions: LoadedVersions,
    models: InThread,
    *,
    body_bytes: int = LARGEST_BODY,
    body_seconds: float = 10,
    wrap: Callable[[ASGIApp], ASGIApp] = lambda app: app,
    answered: Callable[[str, int, float], None] = lambda *_: None,
    **listener: Any,
) -> Iterator[httpx.Client]:
    """A client of these versions; ``listener``: what ``make_config`` takes."""
    batcher = Batcher(versions, BatchRules(8, 50), TrafficMetrics(), [models])
    app = make_inference_app(versions, batcher, RequestLimits(body_bytes, body_seconds, 30))
    with serving(Gateway(wrap(app), answered), batcher.start, **listener) as client:
        yield client
    batcher.stop()


@contextmanager
def answering(folder: Path, make_version: Callable[..., Path], **options: Any) -> Iterator[httpx.Client]:
    """A client of version 1; ``options``: what ``answering_with`` takes."""
    models = InThread(Limits(max_pixels=1_000_000))
    versions = models.known({1: make_version(folder / "lucir-1", 1)}, folder / "answering.json")
    with answering_with(versions, models, **options) as client:
        yield client
