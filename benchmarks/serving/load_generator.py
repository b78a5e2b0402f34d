"""Requests over kept-alive connections: each client asks again at once, or all together keep to a rate.

``python -m benchmarks.serving.load_generator URL IMAGE --clients 8 --seconds 5 [--rate 100]`` prints JSON: how many
answers were not 200, and the seconds of each. A process of its own, so that it takes nothing from the server's
interpreter. With a rate, a request's time counts from when it was due, not from when a client was free; those that no
client was free for until the end are not sent: where the server cannot keep up, fewer are answered than were due.
"""

import argparse
import asyncio
import json
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit


class Load:
    """``clients`` connections to one address, each with its next request in turn."""

    def __init__(self, url: str, body: Path, clients: int, seconds: float, rate: float | None) -> None:
        parts = urlsplit(url)
        self._host, self._port = str(parts.hostname), parts.port or 80
        data, kind = body.read_bytes(), "application/json" if body.suffix == ".json" else "image/jpeg"
        head = f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: {kind}\r\n"
        self._request = f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data
        self._clients, self._seconds, self._rate = clients, seconds, rate
        self._due = 0
        self.took: list[float] = []
        self.refused = 0
        self.seconds = seconds
        """Until the last answer; with a rate, those in which requests were due, all of which may have been answered."""

    async def run(self) -> None:
        """All clients until the time is over."""
        self._begin = time.perf_counter()
        self._end = self._begin + self._seconds
        await asyncio.gather(*(self._client() for _ in range(self._clients)))
        if self._rate is None:
            self.seconds = time.perf_counter() - self._begin

    async def _client(self) -> None:
        reader, writer = await asyncio.open_connection(self._host, self._port)
        while (due := await self._next()) < self._end and time.perf_counter() < self._end:
            writer.write(self._request)
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(_length(head))
            self.took.append(time.perf_counter() - due)
            self.refused += b" 200 " not in head[:16]
        writer.close()

    async def _next(self) -> float:
        """When the next request is due; returns by then, or at once where that is past the end."""
        if self._rate is None:
            return time.perf_counter()
        due = self._begin + self._due / self._rate
        self._due += 1
        if due < self._end:
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
        return due


def _length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.split(b":")[1])
    raise ValueError(f"an answer without a length: {head[:80]!r}")


def main() -> None:
    """Run it and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("image", type=Path)
    parser.add_argument("--clients", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rate", type=float)
    options = parser.parse_args()
    load = Load(options.url, options.image, options.clients, options.seconds, options.rate)
    asyncio.run(load.run())
    sys.stdout.write(json.dumps({"refused": load.refused, "took": load.took, "seconds": load.seconds}) + "\n")


if __name__ == "__main__":
    main()
