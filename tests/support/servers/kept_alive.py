"""Clients that keep their connections alive, for what happens to them while a server stops."""

import threading
from collections import Counter
from collections.abc import Callable

import httpx

from tests.support.waiting import PATIENCE, wait_for

CLIENTS = 6


class KeptAlive(threading.Thread):
    """Sends requests over a connection that it keeps, and opens a new one when it is told to, until that is refused."""

    def __init__(self, url: str, image: bytes) -> None:
        super().__init__(daemon=True)
        self.url, self.image = url, image
        self.seen: Counter[str] = Counter()

    def run(self) -> None:
        fresh = True
        with httpx.Client(timeout=60, trust_env=False) as client:
            while "refused" not in self.seen:
                try:
                    answer = client.post(self.url, content=self.image)
                except httpx.ConnectError:
                    self.seen["refused"] += 1
                except httpx.HTTPError:
                    self.seen["reset" if fresh else "cut"] += 1
                    fresh = True
                else:
                    fresh = answer.headers.get("connection") == "close"
                    self.seen[str(answer.status_code)] += 1


def under_way(url: str, image: bytes) -> list[KeptAlive]:
    """Clients of which each has been answered over a connection that it kept."""
    clients = [KeptAlive(url, image) for _ in range(CLIENTS)]
    for client in clients:
        client.start()
    wait_for(lambda: all(client.seen["200"] > 3 for client in clients))
    return clients


def answered_meanwhile(clients: list[KeptAlive]) -> Callable[[], bool]:
    """Whether each has been answered again since this was called."""
    before = {client: client.seen["200"] for client in clients}
    return lambda: all(client.seen["200"] > before[client] for client in clients)


def check_none_was_cut(clients: list[KeptAlive], *, resets: int = 0) -> None:
    """The server has stopped: each was answered to the end, at most once told to go elsewhere, then refused.

    ``resets``: new connections of a client that may end instead of being refused: the system has taken them into the
    queue of a listener that closes before it accepts them.
    """
    for client in clients:
        client.join(PATIENCE)
        assert client.seen["cut"] == 0, client.seen
        assert client.seen["503"] <= 1, client.seen
        assert client.seen["reset"] <= resets, client.seen
        assert set(client.seen) <= {"200", "503", "refused", "cut", "reset"}, client.seen
