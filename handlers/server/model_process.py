"""``python -m handlers.server.model_process SOCKET``: one of the processes that decode and classify for the server.

A process of its own for each core, so that none waits for another's interpreter. It ends with the socket that it has
from the server. No pydantic and no Starlette: a version is served as soon as this has started.
"""

import ctypes
import io
import logging
import os
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import Final

from handlers.inference.answering import answer_batch
from handlers.inference.replies import Reply, error_reply
from handlers.inference.version_model import VersionModel
from handlers.inference.workers.worker import WorkerOptions, read_options
from handlers.labelling.unsure_images import UnsureImages
from handlers.logs import setup_logging
from handlers.server.frames import (
    Classify,
    Forget,
    Load,
    ModelFacts,
    Result,
    pack,
    read_gpu,
    read_log_words,
    read_message,
)

logger = logging.getLogger("handlers.server.model_process")

CALL_BYTES: Final = 256 * 1024
"""Read at once: a call with the images that are usual."""


class ModelProcess:
    """Answers one call after the other; a version is loaded in a thread beside."""

    def __init__(self, connection: socket.socket, options: WorkerOptions, gpu: int | None) -> None:
        self._connection = connection
        self._options = options
        self._gpu = gpu
        self._models: dict[int, VersionModel] = {}
        self._unsure = UnsureImages(options.unsure)
        self._sending = threading.Lock()

    def run(self) -> None:
        """Until the other end is closed."""
        with io.BufferedReader(self._connection.makefile("rb", 0), CALL_BYTES) as calls:
            while (call := read_message(calls)) is not None:
                match call:
                    case Classify():
                        self._send(Result(call.call, self._classify(call)))
                    case Load():
                        threading.Thread(target=self._load, args=(call,), daemon=True).start()
                    case Forget():
                        self._models.pop(call.version, None)

    def _send(self, result: Result) -> None:
        with self._sending:
            self._connection.sendall(pack(result))

    def _classify(self, call: Classify) -> list[Reply]:
        try:
            options = self._options
            return answer_batch(
                self._models[call.version], call.requests, options.limits, options.top_k, unsure=self._unsure
            )
        except Exception:  # the process must go on; nobody is left without an answer
            logger.exception("a batch failed", extra={"version": call.version, "requests": len(call.requests)})
            return [error_reply(500, "internal error; the server's log has the details")] * len(call.requests)

    def _load(self, call: Load) -> None:
        try:
            options = self._options
            model = VersionModel.load(Path(call.folder), threads=options.threads, gpu=self._gpu, rules=options.rules)
        except Exception as error:  # whatever it is, this version must not serve, and the others go on
            logger.exception("version %d cannot be loaded", call.version)
            self._send(Result(call.call, problem=str(error) or type(error).__name__))
            return
        self._models[call.version] = model
        give_back_memory()
        facts = ModelFacts(model.version, model.classes, model.resize, model.size, model.interpolation)
        self._send(Result(call.call, facts))


def give_back_memory() -> None:
    """Return to the system what has been freed: loading takes twice a network's file for a moment, and the C library
    would keep that. Nothing happens where it is not glibc.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def main() -> None:
    """Serve the socket whose file descriptor is the argument. Signals to the group are the server's to answer."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    setup_logging(read_log_words(os.environ), "server")
    with socket.socket(fileno=int(sys.argv[1])) as connection:
        try:
            ModelProcess(connection, read_options(os.environ), read_gpu(os.environ)).run()
        except (BrokenPipeError, ConnectionResetError):
            logger.debug("the server is gone")


if __name__ == "__main__":
    main()
