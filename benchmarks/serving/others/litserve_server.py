"""LitServe (``pip install litserve``): two workers that take batches.

A body is ``{"image": base64}``: other bodies than JSON and forms do not reach its API.
"""

import base64
import sys
from typing import Any

import litserve

from benchmarks.serving.others.network import BATCH, WAIT_MS, WORKERS, Network


class Api(litserve.LitAPI):
    """Decodes and runs a batch."""

    def setup(self, device: str) -> None:
        """In each worker."""
        del device
        self._network = Network()

    def decode_request(self, request: dict[str, str]) -> bytes:
        """The image file."""
        return base64.b64decode(request["image"])

    def batch(self, inputs: list[bytes]) -> list[bytes]:
        """As they are."""
        return inputs

    def predict(self, x: list[bytes]) -> list[Any]:
        """A list for each."""
        return self._network.classify(x)

    def unbatch(self, output: list[Any]) -> list[Any]:
        """As they are."""
        return output

    def encode_response(self, output: Any) -> dict[str, Any]:
        """The answer to one."""
        return {"predictions": output}


def main() -> None:
    """Serve until it is stopped."""
    api = Api(max_batch_size=BATCH, batch_timeout=WAIT_MS / 1e3)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=WORKERS)
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False, log_level="error")


if __name__ == "__main__":
    main()
