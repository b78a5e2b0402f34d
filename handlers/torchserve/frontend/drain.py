"""TorchServe, started, and stopped without cutting requests.

TorchServe itself ends at SIGTERM: it refuses connections at once and resets those under way. So SIGTERM here

1. writes the marker ``draining`` beside the management socket: the readiness probe (``handlers.stack.probe``) is false
   from then on. Requests are accepted and answered until no client is connected, at most for ``drain_seconds``;
2. stops listening, and writes the marker ``closing``: a client that still sends over a connection that it keeps is
   answered 503 and its connection closed (``handlers.inference.workers.worker``), so that none is cut;
3. stops TorchServe.

A second signal makes it quick.
"""

import ctypes
import logging
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Final

import psutil

from handlers.torchserve.frontend.listeners import stop_listening
from handlers.torchserve.model_status import DRAINING_MARKER

logger = logging.getLogger(__name__)

CLOSING_MARKER: Final = "closing"
CLOSING_SECONDS: Final = 5.0
"""From the last accepted connection to the end of TorchServe: requests under way take less."""
END_SECONDS: Final = 3.0
"""From SIGTERM to SIGKILL."""
QUIET_SECONDS: Final = 1.0
"""Nobody is waited for after so long without a client: some open a connection for each request and come again."""
POLL_SECONDS: Final = 0.02
STOP_SIGNALS: Final = frozenset((signal.SIGTERM, signal.SIGINT, signal.SIGHUP))
AWAITED: Final = STOP_SIGNALS | {signal.SIGCHLD}
_PR_SET_PDEATHSIG: Final = 1


class Drain:
    """One TorchServe. ``port`` is the one that clients connect to, ``seconds`` as long as they may go on to."""

    def __init__(self, folder: Path, port: int, seconds: float) -> None:
        self.draining = folder / DRAINING_MARKER
        self.closing = folder / CLOSING_MARKER
        self.port = port
        self.seconds = seconds

    def start(self, command: Sequence[str]) -> IO[bytes]:
        """Start ``command``; what it writes. To be called once, while this process has one thread."""
        self._forget()  # the markers of a process that was killed
        signal.pthread_sigmask(signal.SIG_BLOCK, AWAITED)
        library = ctypes.CDLL(None)

        def prepare() -> None:  # in the child: with one thread here, nothing can be locked there
            library.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, AWAITED)

        # A process group of its own: a Ctrl-C at a terminal must not reach it, this process stops it in order.
        self._server = subprocess.Popen(
            command, process_group=0, preexec_fn=prepare, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        if self._server.stdout is None:
            raise RuntimeError("TorchServe was started without a pipe")
        return self._server.stdout

    def close_others(self) -> None:
        """Refuse connections to every port but ``port``: TorchServe offers its management by gRPC to whoever is on this
        machine, without asking who it is, and cannot be told not to.
        """
        if not stop_listening(self._server.pid, self.port.__ne__):
            logger.warning("whoever is on this machine, or in this container, reaches TorchServe's gRPC ports")

    def wait(self) -> int:
        """Stay until TorchServe has ended, or end it after a signal; its exit status as a shell gives it."""
        server = self._server
        try:
            while server.poll() is None:
                if signal.sigwait(AWAITED) in STOP_SIGNALS:
                    self._drain(server)
                    self.end()
        finally:
            self._forget()
        status = server.wait()
        return status if status >= 0 else 128 - status

    def end(self) -> None:
        """SIGTERM, and SIGKILL when that does not help."""
        self._server.terminate()
        try:
            self._server.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._server.kill()

    def _forget(self) -> None:
        for marker in (self.draining, self.closing):
            marker.unlink(missing_ok=True)

    def _drain(self, server: "subprocess.Popen[bytes]") -> None:
        self.draining.touch()
        self._wait_for_clients(server, self.seconds)
        if self._connections(server.pid):
            if not stop_listening(server.pid, self.port.__eq__):
                logger.warning("a client that still comes is cut")
            self.closing.touch()
            self._wait_for_clients(server, CLOSING_SECONDS)

    def _wait_for_clients(self, server: "subprocess.Popen[bytes]", seconds: float) -> None:
        """Wait until no client was connected for a while, or until a second signal asks to stop at once."""
        now = seen = time.monotonic()
        deadline = now + seconds
        while now < min(deadline, seen + QUIET_SECONDS) and server.poll() is None:
            if signal.sigtimedwait(STOP_SIGNALS, POLL_SECONDS) is not None:
                return
            now = time.monotonic()
            if self._connections(server.pid):
                seen = now

    def _connections(self, pid: int) -> int:
        """How many clients have not gone."""
        try:
            found = psutil.Process(pid).net_connections("tcp")
        except psutil.Error:
            return 0
        return sum(
            bool(item.laddr) and item.laddr.port == self.port and item.status == psutil.CONN_ESTABLISHED
            for item in found
        )
