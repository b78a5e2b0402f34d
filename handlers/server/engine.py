"""The parts of the engine and its three listeners: requests, metrics, and the management socket."""

import asyncio
import logging
import socket
from collections.abc import Sequence
from pathlib import Path

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from handlers.inference.api_keys import ApiKeys
from handlers.inference.traffic_metrics import TrafficMetrics, counts
from handlers.process_registry import ModelProcesses
from handlers.server.admission import WithKeys, with_origins
from handlers.server.batches import Batcher, BatchRules
from handlers.server.connections import DrainingServer, QuietServer, make_config
from handlers.server.gateway import Gateway
from handlers.server.inference_app import RequestLimits, make_inference_app
from handlers.server.loaded_versions import LoadedVersions
from handlers.server.management_app import make_management_app
from handlers.server.model_pool import ModelPool, PoolRules, Started
from handlers.settings import Settings
from handlers.sockets import management_socket, private_folder
from handlers.torchserve.model_status import DRAINING_MARKER
from handlers.web_address import listening_socket

logger = logging.getLogger("handlers.server")


class Server:
    """The parts of the engine, made from the settings, and the three listeners before them.

    ``pool_rules`` and ``first`` are of its model processes, which have been started already.
    """

    def __init__(self, settings: Settings, pool_rules: PoolRules, first: Sequence[Started]) -> None:
        serving = settings.serving
        self.settings = settings
        self.pool = ModelPool(pool_rules, lambda: self.versions.folders(), first)
        self.versions = LoadedVersions(self.pool, settings.run_folder / "answering.json")
        self.traffic = TrafficMetrics()
        self.traffic.registry.register(ModelProcesses(self.pool.pids))
        rules = BatchRules(serving.batch_size, serving.queue_size)
        self.batcher = Batcher(self.versions, rules, self.traffic, self.pool.processes)
        limits = RequestLimits(
            serving.max_request_mb * 1024 * 1024, serving.body_seconds, float(serving.response_timeout_seconds)
        )
        app = make_inference_app(self.versions, self.batcher, limits)
        keys = ApiKeys.of(serving.keys())
        allowed = WithKeys(app, keys) if keys.digests else app
        self.gateway = Gateway(with_origins(allowed, serving.cors_origins), self._answered)
        self.management = make_management_app(
            self.versions, self.batcher, self.pool, settings.models_folder, gpu=pool_rules.gpu
        )
        self._marker = management_socket(settings).with_name(DRAINING_MARKER)
        self.pages = Starlette(routes=[Route("/metrics", self._metrics)])

    async def run(self) -> int:
        """Answer until a signal has come and everybody has an answer; return the exit status.

        Raises ``OSError`` when an address cannot be had.
        """
        serving = self.settings.serving
        with (
            listening_socket(serving.host, serving.port, backlog=1024) as inference,
            listening_socket(serving.host, serving.metrics_port) as metrics,
            _listen_privately(management_socket(self.settings)) as management,
        ):
            self._marker.unlink(missing_ok=True)  # of a process that was killed while it was draining
            self.pool.start()
            await self.versions.resume(serving.workers or 1)
            self.batcher.start()
            others = [QuietServer(make_config(self.management, grace=1)), QuietServer(make_config(self.pages, grace=1))]
            pairs = zip(others, (management, metrics), strict=True)
            running = [asyncio.create_task(other.serve([own])) for other, own in pairs]
            config = make_config(self.gateway, connections=serving.max_connections)
            server = DrainingServer(config, self._drain, serving.drain_seconds)
            logger.info("answering on %s", self.settings.inference_url)
            await server.serve([inference])
            for other in others:
                other.should_exit = True
            await asyncio.gather(*running)
            self.batcher.stop()
            await self.pool.stop()
            for left in (management_socket(self.settings), self._marker):
                left.unlink(missing_ok=True)
        logger.info("stopped")
        return 0

    def _drain(self) -> None:
        """The probe of readiness is false from now on, and each client leaves after its next answer."""
        self.gateway.draining = True
        self._marker.touch()

    def _answered(self, target: str, status: int, seconds: float) -> None:
        if counts(target):
            self.traffic.answered(status, seconds)

    async def _metrics(self, _: Request) -> Response:
        self.traffic.waiting(self.batcher.waiting)
        return Response(self.traffic.render(), headers={"Content-Type": CONTENT_TYPE_LATEST})


def _listen_privately(path: Path) -> socket.socket:
    """A listening socket in a folder that nobody else can enter. Raises ``LaunchError``, ``OSError``."""
    private_folder(path.parent)
    path.unlink(missing_ok=True)  # what a killed process left: nobody answers there
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(path))
        listener.listen(64)
    except OSError:
        listener.close()
        raise
    return listener
