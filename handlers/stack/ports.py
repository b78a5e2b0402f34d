"""Ports: whether they are free, and which ones are."""

import socket
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass

from handlers.stack.errors import StackError


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


def free_ports(count: int, host: str = "127.0.0.1") -> list[int]:
    """Different ports that nothing listens on at this moment."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((host, 0))
        return [int(each.getsockname()[1]) for each in sockets]


def _check_free(listener: Listener) -> None:
    family = socket.AF_INET6 if ":" in listener.host else socket.AF_INET
    with socket.socket(family) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((listener.host, listener.port))
        except OSError as error:
            raise StackError(
                f"port {listener.port} on {listener.host} cannot be used for {listener.purpose} "
                f"({(error.strerror or str(error)).lower()}): stop what uses it, or choose another one with "
                f"{listener.option} PORT, or let --free-ports choose"
            ) from error
