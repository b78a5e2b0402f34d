"""The uvicorn engine's inference port in this process, with one version that answers."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from handlers.inference.preprocess import Limits
from handlers.inference.traffic_metrics import TrafficMetrics
from handlers.inference.version_model import VersionModel
from handlers.server.batches import Batcher, BatchRules
from handlers.server.gateway import Gateway
from handlers.server.inference_app import RequestLimits, make_inference_app
from handlers.server.loaded_versions import LoadedVersion, LoadedVersions
from tests.support.asgi_server import serving

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
    versions = LoadedVersions(VersionModel.load, folder / "answering.json")
    version = make_version(folder / "lucir-1", 1)
    versions.known[1] = LoadedVersion(1, version, "ready", 1, VersionModel.load(version))
    versions.make_default(versions.known[1])
    batcher = Batcher(versions, BatchRules(Limits(max_pixels=1_000_000), 5, 8, 50, 1), TrafficMetrics())
    app = make_inference_app(versions, batcher, RequestLimits(body_bytes, body_seconds, 30))
    with serving(Gateway(app, lambda *_: None), batcher.start, **listener) as client:
        yield client
    batcher.stop()
