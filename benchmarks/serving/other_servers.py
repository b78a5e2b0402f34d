"""Peers of other projects, each as its documentation would have it: two workers, batches of eight.

``PYTHON other_servers.py PORT`` with the Python of an environment that has them (``pip install mosec litserve
onnxruntime pillow``). ``PEER_NAME`` is ``mosec`` or ``litserve``, ``PEER_VERSION_FOLDER`` the version's folder: in the
environment, because both start processes that read this file again. Nothing of this repository is imported.
"""

import base64
import importlib
import io
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from PIL import Image

BATCH = 8
WORKERS = 2
WAIT_MS = 1
"""How long a batch may wait to fill."""
FOLDER = "PEER_VERSION_FOLDER"
NAME = os.environ.get("PEER_NAME")


class Network:
    """The published network, one thread."""

    def __init__(self) -> None:
        folder = Path(os.environ[FOLDER])
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        self._classes, self._size = manifest["classes"], manifest["preprocessing"]["size"]
        self._resize = manifest["preprocessing"]["resize"]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        file = str(folder / "model.onnx")
        self._session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])

    def classify(self, images: list[bytes]) -> list[list[dict[str, Any]]]:
        """Five classes of each image file."""
        edge = (self._resize - self._size) // 2
        inside = slice(edge, edge + self._size)
        squares = [np.asarray(self._decode(data))[inside, inside] for data in images]
        (rows,) = self._session.run(["probabilities"], {"images": np.stack(squares)})
        return [
            [{"class": self._classes[i], "probability": float(row[i])} for i in np.argsort(-row)[:5]] for row in rows
        ]

    def _decode(self, data: bytes) -> Image.Image:
        return Image.open(io.BytesIO(data)).convert("RGB").resize((self._resize, self._resize))


def run_mosec(port: int) -> None:
    """A body is an image file."""
    mosec: Any = importlib.import_module("mosec")
    sys.argv = [sys.argv[0], "--port", str(port), "--address", "127.0.0.1"]
    server = mosec.Server()
    server.append_worker(MosecWorker, num=WORKERS, max_batch_size=BATCH, max_wait_time=WAIT_MS)
    server.run()


def run_litserve(port: int) -> None:
    """A body is ``{"image": base64}``: other bodies than JSON and forms do not reach its API."""
    litserve: Any = importlib.import_module("litserve")
    api = LitServeApi(max_batch_size=BATCH, batch_timeout=WAIT_MS / 1e3)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=WORKERS)
    server.run(host="127.0.0.1", port=port, generate_client_file=False, log_level="error")


RUN = {"mosec": run_mosec, "litserve": run_litserve}

if NAME == "mosec":
    worker: Any = importlib.import_module("mosec").Worker

    class MosecWorker(worker):  # type: ignore[misc]  # of a package that is not installed here
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


if NAME == "litserve":
    lit_api: Any = importlib.import_module("litserve").LitAPI

    class LitServeApi(lit_api):  # type: ignore[misc]  # of a package that is not installed here
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


if __name__ == "__main__":
    RUN[str(NAME)](int(sys.argv[1]))
