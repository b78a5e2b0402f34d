"""The entry point of a TorchServe worker: images in, classes out.

TorchServe looks for exactly one class in this module, creates it, calls ``initialize`` once and ``handle`` per batch.
What a worker needs to know comes with its version's folder and its environment (``handlers.torchserve.launch``).
"""

import json
import logging
import os
import time
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any

from handlers.inference.answering import Batch
from handlers.inference.api_keys import DIGESTS_VARIABLE, WITHOUT_KEY, ApiKeys
from handlers.inference.repeated_fields import keep_repeated_fields
from handlers.inference.replies import RawRequest, Reply, encode, error_reply
from handlers.inference.sessions.onnx_session import UnusableVersionError
from handlers.inference.version_model import VersionModel
from handlers.inference.workers.batch_reports import REPORTS_VARIABLE, BatchReporter
from handlers.inference.workers.frontend_messages import read_large_pieces
from handlers.inference.workers.held_versions import HeldVersions
from handlers.inference.workers.slot import MODELS_VARIABLE, WORKERS_VARIABLE, Slot
from handlers.inference.workers.worker import (
    CLOSING,
    CLOSING_VARIABLE,
    NOTHING_LEARNT_FILE,
    WorkerOptions,
    read_options,
)
from handlers.inference.workers.worker_socket import WorkerSocket

logger = logging.getLogger(__name__)


class Classifier:
    """The version that its slot names at the time, or the statement that nothing has been learnt yet.

    ``context`` is TorchServe's ``ts.context.Context``; it is not imported here for the sake of the start-up time.
    """

    def __init__(self) -> None:
        self.held = HeldVersions(WorkerOptions(), None)
        """Those in memory."""
        self._served: Callable[[], VersionModel] | None = None
        """The version that answers now."""
        self._nothing_learnt = ""
        self._keys = ApiKeys()
        self._closing: Path | None = None
        self._reporter = BatchReporter(None)

    def initialize(self, context: Any) -> None:
        """Load the version that answers. An exception here ends the worker: it must not serve."""
        started = time.monotonic()
        # TorchServe's worker logs every request through the root logger; its metrics come through loggers of their own.
        logging.getLogger().setLevel(logging.WARNING)
        for name in ("ts", "handlers"):
            logging.getLogger(name).setLevel(logging.INFO)
        keep_repeated_fields()
        read_large_pieces()
        self._reporter = BatchReporter(os.environ.get(REPORTS_VARIABLE))
        self._keys = ApiKeys.read(os.environ.get(DIGESTS_VARIABLE))
        marker = os.environ.get(CLOSING_VARIABLE)
        self._closing = Path(marker) if marker else None
        folder = Path(context.system_properties["model_dir"])
        notice = folder / NOTHING_LEARNT_FILE
        if notice.exists():
            self._nothing_learnt = str(json.loads(notice.read_text(encoding="utf-8"))["error"])
            return
        self.held = HeldVersions(read_options(os.environ), context.system_properties.get("gpu_id"))
        self._served = self._versions(folder, context)
        logger.info("version %d loaded in %.2f s", self._served().version, time.monotonic() - started)

    def _versions(self, folder: Path, context: Any) -> Callable[[], VersionModel]:
        """What tells which version answers; that in ``folder`` for good where there is no place for slots."""
        workers, models = os.environ.get(WORKERS_VARIABLE), os.environ.get(MODELS_VARIABLE)
        if workers is None or models is None:
            model = self.held.load(folder)
            return lambda: model
        slot = Slot(Path(workers), int(context.manifest["model"]["modelVersion"]))
        served = partial(self.held.serving, slot, Path(models))
        served()  # before anybody may ask for another one
        WorkerSocket(Path(workers), Path(models), self.held, slot.served).listen()
        return served

    def handle(self, data: list[dict[str, Any]], context: Any) -> list[bytes]:
        """Answer a batch in one run of the model; each request gets its own status, a bad one harms no other."""
        for index in range(len(data)):
            context.set_response_content_type(index, "application/json")
        if self._closing is not None and self._closing.exists():
            context.set_all_response_status(503, "Stopping")
            return [encode({"error": CLOSING})] * len(data)
        served = self._served
        if served is None:
            context.set_all_response_status(503, "Nothing learnt yet")
            return [encode({"error": self._nothing_learnt})] * len(data)
        started = time.monotonic()
        requests = [RawRequest(fields, context.get_all_request_header(index)) for index, fields in enumerate(data)]
        # A request without a key that is asked for gets 401, and is not looked at.
        allowed = [self._keys.allow(request.headers) for request in requests]
        known = [request for request, may in zip(requests, allowed, strict=True) if may]
        found = iter(self._newest(served, self.held.batch(known)))
        replies = [next(found) if may else error_reply(401, WITHOUT_KEY) for may in allowed]
        for index, reply in enumerate(replies):
            if reply.status != HTTPStatus.OK:
                context.set_response_status(reply.status, HTTPStatus(reply.status).phrase, index)
        self._reporter.ran(
            len(data), time.monotonic() - started, [given for reply in replies for given in reply.answers]
        )
        return [reply.body for reply in replies]

    @staticmethod
    def _newest(served: Callable[[], VersionModel], batch: Batch) -> list[Reply]:
        """Replies by the version that answers when they are there: a client that has seen an answer of a version, by
        whatever worker, gets none of an older one afterwards.

        ``SystemExit`` where it cannot be loaded: this worker must not serve, and TorchServe starts another.
        """
        try:
            model = served()
            while True:
                replies = batch.answers(model)
                if (newer := served()) is model:
                    return replies
                model = newer
        except UnusableVersionError as error:
            logger.critical("the version that answers cannot be loaded: %s", error)
            raise SystemExit(1) from error
