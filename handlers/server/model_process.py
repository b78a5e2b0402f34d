"""``python -m handlers.server.model_process SOCKET``: one of the processes that decode and classify for the server.

A process of its own for each core, so that none waits for another's interpreter. It ends with the socket that it has
from the server. No pydantic and no Starlette: a version is served as soon as this has started.
"""

import logging
import os
import signal
import socket
import sys

from handlers.inference.workers.held_versions import Calls, HeldVersions
from handlers.inference.workers.worker import read_options
from handlers.logs import setup_logging
from handlers.server.frames import read_gpu, read_log_words

logger = logging.getLogger("handlers.server.model_process")


def main() -> None:
    """Serve the socket whose file descriptor is the argument. Signals to the group are the server's to answer."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    setup_logging(read_log_words(os.environ), "server")
    with socket.socket(fileno=int(sys.argv[1])) as connection:
        try:
            Calls(connection, HeldVersions(read_options(os.environ), read_gpu(os.environ))).run()
        except (BrokenPipeError, ConnectionResetError):
            logger.debug("the server is gone")


if __name__ == "__main__":
    main()
