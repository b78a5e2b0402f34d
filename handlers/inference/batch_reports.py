"""What a worker tells of its batches to the process that measures: a datagram each, which never holds up an answer."""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Final

REPORTS_VARIABLE: Final = "LUCIR_BATCH_REPORTS"
"""Names the socket that the reports go to."""
_LONGEST: Final = 64


class BatchReporter:
    """Sends to the socket at ``path``; None, or nobody there: what it is told is forgotten."""

    def __init__(self, path: str | None) -> None:
        self._path = path
        self._socket = None if path is None else socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        if self._socket is not None:
            self._socket.setblocking(False)

    def close(self) -> None:
        """Give the socket back."""
        if self._socket is not None:
            self._socket.close()

    def ran(self, images: int, seconds: float) -> None:
        """A batch was answered."""
        if self._socket is None:
            return
        try:
            self._socket.sendto(f"{images} {seconds:.6f}".encode(), str(self._path))
        except OSError:
            return  # full, or the reader restarts: a figure is lost, which no request may wait for


class BatchReports:
    """The other end. Raises ``OSError`` when the socket cannot be made."""

    def __init__(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))

    def __iter__(self) -> Iterator[tuple[int, float]]:
        """(images, seconds) of each batch, until ``close``. What is not written by a reporter is left out."""
        while report := self._socket.recv(_LONGEST):
            words = report.split()
            try:
                images, seconds = int(words[0]), float(words[1])
            except (ValueError, IndexError):
                continue
            yield images, seconds

    def close(self) -> None:
        """End the iteration, wherever it waits."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
