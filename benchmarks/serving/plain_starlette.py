"""The peer that a user would write: Starlette, a thread that runs what has queued up, ONNX Runtime, one process.

``python -m benchmarks.serving.plain_starlette FOLDER PORT`` serves the version in FOLDER.
"""

import asyncio
import io
import json
import queue
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import uvicorn
from PIL import Image
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

BATCH = 8


class Service:
    """Decodes in the event loop's default threads, answers in one thread."""

    def __init__(self, folder: Path) -> None:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        self.classes, self.size = manifest["classes"], manifest["preprocessing"]["size"]
        self.resize = manifest["preprocessing"]["resize"]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"]
        )
        self.queue: queue.SimpleQueue[tuple[Any, ...]] = queue.SimpleQueue()
        threading.Thread(target=self._run, daemon=True).start()

    async def predict(self, request: Request) -> Response:
        """One image, five classes."""
        image = await asyncio.to_thread(self._decode, await request.body())
        loop = asyncio.get_running_loop()
        found: asyncio.Future[np.ndarray] = loop.create_future()
        self.queue.put((image, found, loop))
        row = await found
        best = np.argsort(-row)[:5]
        return JSONResponse([{"class": self.classes[i], "probability": float(row[i])} for i in best])

    def _decode(self, data: bytes) -> np.ndarray:
        image = Image.open(io.BytesIO(data)).convert("RGB").resize((self.resize, self.resize))
        edge = (self.resize - self.size) // 2
        return np.asarray(image)[edge : edge + self.size, edge : edge + self.size]

    def _run(self) -> None:
        while True:
            batch = [self.queue.get()]
            while len(batch) < BATCH and not self.queue.empty():
                batch.append(self.queue.get())
            images = np.stack([image for image, _, _ in batch])
            (rows,) = self.session.run(["probabilities"], {"images": images})
            for (_, found, loop), row in zip(batch, rows, strict=True):
                loop.call_soon_threadsafe(found.set_result, row)


def main() -> None:
    """Serve until it is killed."""
    service = Service(Path(sys.argv[1]))
    app = Starlette(routes=[Route("/predictions/lucir", service.predict, methods=["POST"])])
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="error", access_log=False)


if __name__ == "__main__":
    main()
