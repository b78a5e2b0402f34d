"""Real TorchServe: first start, swaps under load, and everything that can go wrong between two versions."""

import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from handlers.torchserve.reconcile import Reconciler, SwapResult

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

Stack = Any
MakeImage = Callable[..., bytes]


class Clients:
    """Closed-loop clients on kept-alive connections; every answer and its seconds are kept."""

    def __init__(self, url: str, image: bytes, count: int = 4) -> None:
        self.answers: list[tuple[float, int, int | None, str]] = []
        self._stop = threading.Event()
        self._url, self._image = url, image
        self._threads = [threading.Thread(target=self._loop) for _ in range(count)]

    def __enter__(self) -> "Clients":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _loop(self) -> None:
        with httpx.Client(timeout=30) as client:
            while not self._stop.is_set():
                started = time.monotonic()
                try:
                    response = client.post(self._url, content=self._image)
                    version = response.json().get("model_version") if response.is_success else None
                    answer = (time.monotonic() - started, response.status_code, version, response.text)
                except httpx.HTTPError as error:
                    answer = (time.monotonic() - started, 0, None, repr(error))
                self.answers.append(answer)

    @property
    def failed(self) -> list[tuple[float, int, int | None, str]]:
        return [answer for answer in self.answers if answer[1] != 200]

    @property
    def longest(self) -> float:
        return max(answer[0] for answer in self.answers)


def test_swap_under_load_loses_nothing(stack: Stack, reconciler: Reconciler, make_image: MakeImage) -> None:
    stack.publish(1)
    stack.serve(reconciler, 1)
    with Clients(f"{stack.settings.inference_url}/predictions/lucir", make_image()) as clients:
        for version in (2, 3, 4):
            stack.publish(version)
            stack.serve(reconciler, version)
            time.sleep(0.5)
        stack.versions.rollback(3)
        stack.serve(reconciler, 3)
    print(len(clients.answers), "requests, longest", round(clients.longest, 3), "failed", clients.failed[:5])
    assert not clients.failed
    assert {answer[2] for answer in clients.answers} == {1, 2, 3, 4}
