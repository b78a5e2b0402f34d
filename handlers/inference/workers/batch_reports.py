"""What a worker tells of its batches to the process that measures: a datagram each, which never holds up an answer."""

import json
import logging
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

logger = logging.getLogger(__name__)

REPORTS_VARIABLE: Final = "LUCIR_BATCH_REPORTS"
"""Names the socket that the reports go to."""
_LONGEST: Final = 256 * 1024


class GivenAnswer(NamedTuple):
    """The best class of an image: how sure the model was, how near, and whether it called it unknown."""

    probability: float
    cosine: float
    unknown: bool | None


class BatchReport(NamedTuple):
    """Requests that were answered together, and the time that took."""

    requests: int
    seconds: float
    answers: tuple[GivenAnswer, ...]


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

    def ran(self, requests: int, seconds: float, answers: Sequence[GivenAnswer] = ()) -> None:
        """A batch was answered, with these answers of the model."""
        if self._socket is None:
            return
        try:
            report = BatchReport(requests, round(seconds, 6), tuple(answers))
            self._socket.sendto(json.dumps(report).encode(), str(self._path))
        except OSError:
            return  # full, or the reader restarts: a figure is lost, which no request may wait for


class BatchReports:
    """The other end. Raises ``OSError`` when the socket cannot be made."""

    def __init__(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))

    def __iter__(self) -> Iterator[BatchReport]:
        """Each batch, until ``close``. What is not written by a reporter is left out."""
        while report := self._socket.recv(_LONGEST):
            try:
                requests, seconds, answers = json.loads(report)
                yield BatchReport(int(requests), float(seconds), tuple(GivenAnswer(*answer) for answer in answers))
            except (ValueError, TypeError):
                logger.warning("not a report of a batch: %r", report[:100])

    def close(self) -> None:
        """End the iteration, wherever it waits."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
