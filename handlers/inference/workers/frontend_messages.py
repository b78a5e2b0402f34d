"""What TorchServe's frontend sends to a worker, taken from the kernel in large pieces.

TorchServe's own reading asks the kernel for each length, each name and each value: some thirty calls for one request.
"""

import logging
import socket
import sys
from io import BufferedReader
from typing import Final

logger = logging.getLogger(__name__)

READING: Final = "_retrieve_buffer"
"""TorchServe's function that everything is read by."""
PIECE_BYTES: Final = 256 * 1024
"""Asked for at once: a batch with the images that are usual."""


def read_large_pieces() -> None:
    """From now on this worker reads what is sent to it like this; what it has read before stays read."""
    from ts.protocol import otf_message_handler  # there inside a worker only, and slow to import elsewhere

    files: dict[socket.socket, BufferedReader] = {}  # a worker has one connection, for its whole life

    def retrieve(connection: socket.socket, length: int) -> bytes:
        """The next bytes; ends the worker, as TorchServe does, where its frontend is gone."""
        file = files.get(connection)
        if file is None:
            file = files[connection] = BufferedReader(connection.makefile("rb", 0), PIECE_BYTES)
        data = file.read(length)
        if len(data) < length:
            logger.info("TorchServe's frontend is gone")
            sys.exit(0)
        return data

    setattr(otf_message_handler, READING, retrieve)
