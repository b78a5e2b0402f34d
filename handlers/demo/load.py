"""A client that keeps asking while the service learns, and remembers how each request went."""

import itertools
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import httpx

from handlers.client.asking import ask_again

THREADS = 2
THINK_SECONDS = 0.1
"""Enough traffic to notice a stall, too little to starve training."""
TIMEOUT_SECONDS = 30.0

Result = Literal["answered", "nothing learnt", "failed"]


@dataclass(frozen=True, slots=True)
class Request:
    """One request: when it began (seconds since the epoch), how long it took, how it went."""

    began: float
    seconds: float
    result: Result
    version: int | None = None
    problem: str = ""
    tries: int = 1


@dataclass(frozen=True, slots=True)
class Traffic:
    """The requests of a span of time."""

    sent: int
    failed: int
    longest_seconds: float


class LoadClient:
    """``threads`` on kept-alive connections, each with a new request ``think_seconds`` after the answer before it.

    "Nothing learnt yet" is the right answer to a request that began before any version had answered, and a failure
    ever after. ``tries``: how often an image is asked about whose answer was lost, as ``Client`` does.
    """

    def __init__(
        self,
        url: str,
        images: Sequence[bytes],
        *,
        threads: int = THREADS,
        think_seconds: float = THINK_SECONDS,
        tries: int = 1,
    ) -> None:
        self._url = url
        self._tries = tries
        self._think_seconds = think_seconds
        self._images = list(images)
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._requests: list[Request] = []
        self._learnt_at = float("inf")
        self._threads = [threading.Thread(target=self._ask_always, daemon=True) for _ in range(threads)]

    def __enter__(self) -> "LoadClient":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=TIMEOUT_SECONDS + 5)

    def requests(self) -> list[Request]:
        """All requests that have ended so far."""
        with self._lock:
            return list(self._requests)

    def first_answer(self, version: int) -> Request | None:
        """The first request that ``version`` answered."""
        return min(
            (request for request in self.requests() if request.version == version),
            key=lambda request: request.began + request.seconds,
            default=None,
        )

    def traffic(self, begin: float = 0.0, end: float = float("inf")) -> Traffic:
        """The requests that were under way at some moment between ``begin`` and ``end``."""
        some = [each for each in self.requests() if each.began <= end and each.began + each.seconds >= begin]
        return Traffic(
            len(some),
            sum(each.result == "failed" for each in some),
            max((each.seconds for each in some), default=0.0),
        )

    def problems(self) -> list[str]:
        """What failed, each kind once."""
        return sorted({request.problem for request in self.requests() if request.result == "failed"})

    def _ask_always(self) -> None:
        images = itertools.cycle(self._images)
        with httpx.Client(base_url=self._url, timeout=TIMEOUT_SECONDS, trust_env=False) as session:
            while not self._stop.is_set():
                request = self._ask(session, next(images))
                with self._lock:
                    self._requests.append(request)
                self._stop.wait(self._think_seconds)

    def _ask(self, session: httpx.Client, image: bytes) -> Request:
        began, clock = time.time(), time.monotonic()
        try:
            answer, tries = ask_again(session, image, {"content-type": "image/png"}, self._tries)
            document = answer.json()
        except (httpx.HTTPError, ValueError) as error:
            return Request(began, time.monotonic() - clock, "failed", problem=f"{type(error).__name__}: {error}")
        seconds = time.monotonic() - clock
        if answer.is_success and document.get("predictions"):
            self._learnt_at = min(self._learnt_at, time.time())
            return Request(began, seconds, "answered", version=document["model_version"], tries=tries)
        if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE and began < self._learnt_at:
            return Request(began, seconds, "nothing learnt")
        return Request(began, seconds, "failed", problem=f"{answer.status_code}: {answer.text[:120]}")
