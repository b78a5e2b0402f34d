"""BentoML (``pip install bentoml``): two workers, with its adaptive batches and without.

``/batched`` takes ``{"images": [base64]}``: batches are made of lists only. ``/classify`` takes the image file. Beside
other load 32 clients got twice as much from the first; a service for HTTP before one for the network gave a third of
that.
"""

import base64
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import bentoml
from bentoml.validators import ContentType

from benchmarks.serving.others.network import BATCH, LONGEST_MS, WORKERS, Network


@bentoml.service(workers=WORKERS, metrics={"enabled": False}, logging={"access": {"enabled": False}})
class Classifier:
    """Decodes and runs a batch."""

    def __init__(self) -> None:
        self._network = Network()

    @bentoml.api
    def classify(self, image: Annotated[Path, ContentType("image/jpeg")], /) -> list[Any]:
        """Five classes."""
        return self._network.classify([image.read_bytes()])[0]

    @bentoml.api(batchable=True, max_batch_size=BATCH, max_latency_ms=LONGEST_MS)
    def batched(self, images: list[str]) -> list[Any]:
        """A list for each."""
        return self._network.classify([base64.b64decode(each) for each in images])


def main() -> None:
    """Serve until it is stopped: the process becomes BentoML's own command."""
    service = f"benchmarks.serving.others.bentoml_server:{Classifier.name}"
    command = [sys.executable, "-m", "bentoml", "serve", service, "--host", "127.0.0.1", "--port", sys.argv[1]]
    environment = {**os.environ, "BENTOML_DO_NOT_TRACK": "True"}
    os.execve(sys.executable, command, environment)  # noqa: S606 (there is nothing of a shell's to be had)


if __name__ == "__main__":
    main()
