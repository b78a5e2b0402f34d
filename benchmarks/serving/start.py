"""How long a person waits for the first answer: from ``lucir up`` to a prediction by a version that is there already.

``python -m benchmarks.serving.start --output benchmarks/serving/start.json``: each engine several times, after a start
that mirrors the version and fills the page cache.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import httpx
from PIL import Image

from benchmarks.result import machine, show
from benchmarks.serving.made_version import make_version
from handlers.stack.ports import free_ports
from lucir_core.testing import synthetic_images

LONGEST_SECONDS: Final = 120.0
PAUSE_SECONDS: Final = 0.02
"""Between two questions: what the figures may be wrong by."""


def main() -> None:
    """Run it, print the figures, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="photo_scratch")
    parser.add_argument("--engines", nargs="+", default=["uvicorn", "torchserve"])
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    found: dict[str, Any] = {}
    for engine in options.engines:
        with tempfile.TemporaryDirectory(prefix="lucir-start-") as name:
            make_version(Path(name), options.preset)
            Image.fromarray(synthetic_images(0, 1, side=160)[0]).save(Path(name, "image.jpg"), quality=85)
            seconds = [start(Path(name), engine) for _ in range(options.starts + 1)][1:]
        found[engine] = {
            "median_s": round(statistics.median(seconds), 2),
            "shortest_s": round(min(seconds), 2),
            "longest_s": round(max(seconds), 2),
        }
    load = round(os.getloadavg()[0], 1)
    show({"machine": machine(), "load": load, "preset": options.preset, "first_answer": found}, options.output)


def start(data: Path, engine: str) -> float:
    """Seconds from the command to the first prediction; the stack is stopped again."""
    port, metrics_port, updater_port = free_ports(3)
    command = [
        *(Path(sys.executable).with_name("lucir"), "up", "--data", data, "--port", port),
        *("--metrics-port", metrics_port, "--updater-port", updater_port, "--set", f"serving.engine={engine}"),
    ]
    image = (data / "image.jpg").read_bytes()
    begun = time.monotonic()
    process = subprocess.Popen([str(word) for word in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=LONGEST_SECONDS) as client:
            while not answered(client, image):
                if process.poll() is not None or time.monotonic() > begun + LONGEST_SECONDS:
                    raise RuntimeError(f"lucir up does not answer with {engine} (its status: {process.poll()})")
                time.sleep(PAUSE_SECONDS)
        return time.monotonic() - begun
    finally:
        process.terminate()
        process.wait(LONGEST_SECONDS)


def answered(client: httpx.Client, image: bytes) -> bool:
    """Whether a version classifies it."""
    try:
        return client.post("/predictions/lucir", content=image).status_code == httpx.codes.OK
    except httpx.HTTPError:  # nobody listens yet
        return False


if __name__ == "__main__":
    main()
