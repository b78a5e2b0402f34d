"""Ports: whether they are free, and which ones are."""

import random
import socket
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from handlers.stack.errors import StackError
from handlers.web_address import listening_socket

OUTGOING = Path("/proc/sys/net/ipv4/ip_local_port_range")
FIRST = 10240
"""Below it live the well-known services and those that people start by hand."""


@dataclass(frozen=True, slots=True)
class Listener:
    """A port that a service will listen on, and the option that changes it."""

    purpose: str
    host: str
    port: int
    option: str


def check_ports(listeners: Iterable[Listener]) -> None:
    """Raise ``StackError`` naming the first port that is taken, by someone else or by another of these listeners."""
    seen: dict[int, Listener] = {}
    for listener in listeners:
        if other := seen.get(listener.port):
            raise StackError(
                f"port {listener.port} is wanted for {other.purpose} and for {listener.purpose}: "
                f"choose another one with {listener.option} PORT"
            )
        seen[listener.port] = listener
        _check_free(listener)


def free_ports(count: int) -> list[int]:
    """Different ports that nothing listens on at this moment.

    They lie outside the range from which the system numbers outgoing connections: one of those could otherwise sit on
    a service's port at its start, or in the moment of its restart.
    """
    candidates = _not_outgoing()
    random.SystemRandom().shuffle(candidates)
    found: list[int] = []
    with ExitStack() as held:
        for port in candidates:
            if len(found) == count:
                break
            trial = held.enter_context(socket.socket())
            try:
                trial.bind(("127.0.0.1", port))
            except OSError:
                continue
            found.append(port)
    return found


def _not_outgoing() -> list[int]:
    """The ports from ``FIRST`` on that no outgoing connection gets; all of them where the system gives it every one."""
    try:
        lowest, highest = map(int, OUTGOING.read_text(encoding="utf-8").split())
    except (OSError, ValueError):  # not Linux, or a /proc that hides it: its usual range
        lowest, highest = 32768, 60999
    ports = range(FIRST, 65536)
    return [port for port in ports if not lowest <= port <= highest] or list(ports)


def _check_free(listener: Listener) -> None:
    try:
        listening_socket(listener.host, listener.port).close()
    except OSError as error:
        raise StackError(
            f"port {listener.port} on {listener.host} cannot be used for {listener.purpose} "
            f"({(error.strerror or str(error)).lower()}): stop what uses it, or choose another one with "
            f"{listener.option} PORT, or let --free-ports choose"
        ) from error
