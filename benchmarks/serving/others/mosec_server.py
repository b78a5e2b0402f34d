"""mosec (``pip install mosec``): two workers that take batches; a body is an image file."""

import sys
from typing import Any

import mosec

from benchmarks.serving.others.network import BATCH, WAIT_MS, WORKERS, Network


class Worker(mosec.Worker):
    """Decodes and runs a batch."""

    def __init__(self) -> None:
        super().__init__()
        self._network = Network()

    def deserialize(self, data: bytes) -> bytes:
        """The image file as it is."""
        return data

    def forward(self, data: list[bytes]) -> list[Any]:
        """A list for each."""
        return self._network.classify(data)


def main() -> None:
    """Serve until it is stopped."""
    sys.argv = [sys.argv[0], "--port", sys.argv[1], "--address", "127.0.0.1"]
    server = mosec.Server()
    server.append_worker(Worker, num=WORKERS, max_batch_size=BATCH, max_wait_time=WAIT_MS)
    server.run()


if __name__ == "__main__":
    main()
