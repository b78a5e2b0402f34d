"""What the peers of other projects run: the published network in ONNX Runtime, one thread.

The modules beside this one are started with the Python of an environment that has the peers, as ``python -m
benchmarks.serving.others.NAME_server PORT``; ``PEER_VERSION_FOLDER`` in the environment names the version's folder,
because most of them start processes of their own. They import nothing of this repository but this module.
"""

import io
import json
import os
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime
from PIL import Image

BATCH: Final = 8
"""Images together at most."""
WORKERS: Final = 2
WAIT_MS: Final = 1
"""How long a batch may wait to fill."""
LONGEST_MS: Final = 60_000
"""Of an answer: a peer that refuses requests when it is busy is not compared by its speed."""


def version_folder() -> Path:
    """Of the version that is served."""
    return Path(os.environ["PEER_VERSION_FOLDER"])


class Network:
    """The published network."""

    def __init__(self) -> None:
        folder = version_folder()
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
