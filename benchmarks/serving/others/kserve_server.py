"""KServe's Python server (``pip install kserve``): two processes; a body is an image file.

It has no batches (a process beside it makes them in a cluster). Networks run in threads: one client waits as long as
where the event loop runs them, and eight and 32 are answered half as often again.
"""

import asyncio
import sys
from typing import Any

import kserve

from benchmarks.serving.others.network import WORKERS, Network


class Classifier(kserve.Model):
    """Decodes and runs one image after the other."""

    def __init__(self) -> None:
        super().__init__("lucir")
        self.ready = True
        self._network: Network | None = None
        """Opened by the first request: the model travels to each process, which a network cannot."""

    async def predict(self, payload: bytes, headers: dict[str, str] | None = None) -> dict[str, Any]:
        """Five classes."""
        del headers
        if self._network is None:
            self._network = Network()
        (found,) = await asyncio.to_thread(self._network.classify, [payload])
        return {"predictions": found}


def main() -> None:
    """Serve until it is stopped."""
    server = kserve.ModelServer(
        http_port=int(sys.argv[1]), workers=WORKERS, enable_grpc=False, enable_latency_logging=False
    )
    server.start([Classifier()])


if __name__ == "__main__":
    main()
