"""Metrics of TorchServe that Prometheus' own checker accepts, from what it logs, reports and counts.

Its own page has names and types of its own, a mean in place of a histogram, and a series more for each worker and
version; it counts health checks as requests. So that page is a socket which only this module reads, and users get
``TrafficMetrics``: durations from the access log, batches from the workers, the queue from TorchServe's figures.
"""

import http.client
import json
import logging
import re
import socket
import threading
from collections.abc import Callable
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import IO, Final

from prometheus_client import MetricsHandler

from handlers.inference.traffic_metrics import TrafficMetrics, counts
from handlers.inference.workers.batch_reports import BatchReports
from handlers.torchserve.frontend.frontend_file import ACCESS_PREFIX
from handlers.torchserve.frontend.unix_http import get
from handlers.torchserve.model_status import MODEL_PATH, model_items

logger = logging.getLogger(__name__)

LONGEST_LINE: Final = 64 * 1024
STARTED: Final = b"Model server started."
"""TorchServe's line when all of its ports are open."""
_ACCESS: Final = re.compile(rb'"\S+ (\S+) \S+" (\d{3}) (\d+)$')
_WAITED: Final = re.compile(r"^ts_queue_latency_microseconds\{.*\} (\S+)$", re.MULTILINE)


class Measure:
    """``management`` and ``raw`` are the sockets of TorchServe's management API and of its own metrics."""

    def __init__(self, management: Path, raw: Path) -> None:
        self.traffic = TrafficMetrics()
        self._management = management
        self._raw = raw
        self._waited = 0.0
        self._lock = threading.Lock()

    def read(self, output: IO[bytes], passed_on: IO[bytes], started: Callable[[], None]) -> None:
        """Take in what TorchServe writes until it ends; lines that are not the access log's go to ``passed_on``.

        ``started`` is called when it has opened its ports.
        """
        while line := output.readline(LONGEST_LINE):
            if line.startswith(STARTED):
                started()
            if line.startswith(ACCESS_PREFIX.encode()):
                self._answered(line.rstrip())
            else:
                passed_on.write(line)
                passed_on.flush()

    def receive(self, reports: BatchReports) -> None:
        """Take in the batches of the workers, without end."""
        for report in reports:
            self.traffic.ran(report.requests, report.seconds)
            for probability, cosine, unknown in report.answers:
                self.traffic.gave(probability, cosine, unknown)

    def refresh(self) -> None:
        """Ask TorchServe for the figures that it keeps. While it does not answer, they stay as they are."""
        with self._lock:
            try:
                status, body = get(str(self._raw), "/metrics")
                if status == http.client.OK:
                    waited = sum(map(float, _WAITED.findall(body.decode()))) / 1e6
                    # A TorchServe counts from 0 as this process does, which starts and ends with it.
                    self.traffic.waited(max(0.0, waited - self._waited))
                    self._waited = max(waited, self._waited)
                status, body = get(str(self._management), f"{MODEL_PATH}/all")
                if status == http.client.OK:
                    self.traffic.waiting(_pending(body))
            except (OSError, http.client.HTTPException, ValueError) as error:
                logger.debug("TorchServe's figures cannot be read: %s", error)

    def serve(self, host: str, port: int) -> ThreadingHTTPServer:
        """Answer ``/metrics`` in a thread until it is shut down. Raises ``OSError`` when the address is taken."""
        measure = self

        class Page(MetricsHandler):
            registry = measure.traffic.registry

            def do_GET(self) -> None:  # noqa: N802 (the base class calls it so)
                measure.refresh()
                super().do_GET()

        class Server(ThreadingHTTPServer):
            address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
            daemon_threads = True

        server = Server((host, port), Page)
        threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
        return server

    def _answered(self, line: bytes) -> None:
        found = _ACCESS.search(line)
        if found is not None and counts(found[1].decode("ascii", "replace")):
            self.traffic.answered(int(found[2]), int(found[3]) / 1000)


def _pending(body: bytes) -> int:
    """Requests in the queues of all versions. Raises ``ValueError`` for a document of another form."""
    queues = (item.get("jobQueueStatus") or {} for item in model_items(json.loads(body)))
    return sum(int(queue.get("pendingRequests", 0)) for queue in queues)
