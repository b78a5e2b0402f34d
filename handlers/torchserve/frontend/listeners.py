"""The TCP listeners of another process: found by their port, and closed from outside."""

import ctypes
import logging
import os
import socket
from collections.abc import Callable
from typing import Final

import psutil

logger = logging.getLogger(__name__)

_PIDFD_GETFD: Final = 438
"""The number of the system call, on every architecture that has it (Linux 5.6)."""


def stop_listening(pid: int, chosen: Callable[[int], bool]) -> bool:
    """Refuse new connections to those ports of ``pid`` that are ``chosen``, while those that are open go on.

    The process cannot do so itself: its sockets are asked for. False, said in the log, where that is not allowed, as in
    most containers.
    """
    library = ctypes.CDLL(None, use_errno=True)
    allowed = True
    for descriptor, port in _listening(pid):
        if not chosen(port):
            continue
        process = os.pidfd_open(pid)
        copy = library.syscall(_PIDFD_GETFD, process, descriptor, 0)
        os.close(process)
        if copy < 0:
            allowed = False
            logger.warning("cannot close port %d of process %d (%s)", port, pid, os.strerror(ctypes.get_errno()))
            continue
        with socket.socket(fileno=copy) as listener:
            listener.shutdown(socket.SHUT_RD)
    return allowed


def _listening(pid: int) -> list[tuple[int, int]]:
    """File descriptor and port of each listener."""
    try:
        found = psutil.Process(pid).net_connections("tcp")
    except psutil.Error:
        return []
    return [(item.fd, item.laddr.port) for item in found if item.laddr and item.status == psutil.CONN_LISTEN]
