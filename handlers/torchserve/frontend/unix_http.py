"""HTTP over a unix socket with the standard library alone: health checks start a process every few seconds."""

import http.client
import socket
from contextlib import closing
from typing import Final

TIMEOUT_SECONDS: Final = 5.0


class UnixConnection(http.client.HTTPConnection):
    """A connection to the socket at ``path``."""

    def __init__(self, path: str, timeout: float = TIMEOUT_SECONDS) -> None:
        super().__init__("unix", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        """Connect to the path instead of a host."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def get(path: str, target: str, timeout: float = TIMEOUT_SECONDS) -> tuple[int, bytes]:
    """Status and body of a GET. Raises ``OSError`` or ``http.client.HTTPException`` when nobody answers properly."""
    with closing(UnixConnection(path, timeout)) as connection:
        connection.request("GET", target)
        answer = connection.getresponse()
        return answer.status, answer.read()
