"""Very many classes: how long one more takes from drop to served, and how fast a server answers, beside ten classes.

    python -m benchmarks.photos.many --classes 1000 --output benchmarks/photos/many.json

A store is made whose version 1 knows the classes by made features, 20 of each (see ``made_store``); a real stack
(``lucir up``) serves it and learns single classes of 20 JPEG images of 300 pixels, which pass the real backbone.
The first drop fetches the version from the store; from the second on it lies on the updater's disk.
"""

import argparse
import io
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from PIL import Image

from benchmarks.photos.made_store import made_image, made_state, publish
from benchmarks.result import machine, show
from handlers.demo.stack import DemoStack
from handlers.stack.folder import StackRecord
from handlers.torchserve.model_status import PREDICTIONS_PATH

EACH, SIDE, FEW = 20, 300, 10
DROPS, ASKED, WARM = 3, 60, 10
PATIENCE = 300.0
SETTINGS = ("--set", "learning.preset=photo", "--set", "updater.settle_seconds=1", "--set", "updater.poll_seconds=1")


def drop(store: Path, name: str, generator: np.random.Generator) -> None:
    """A folder of 20 images that look alike, marked as complete."""
    folder, base = store / "incoming" / name, made_image(generator, SIDE).astype(np.int16)
    folder.mkdir(parents=True)
    for number in range(EACH):
        image = (base + generator.integers(-20, 21, base.shape)).clip(0, 255).astype(np.uint8)
        Image.fromarray(image).save(folder / f"{number}.jpg", quality=90)
    (folder / "_READY").touch()


def served(record: StackRecord, image: bytes) -> int | None:
    """The version that answers; None while none does."""
    try:
        answer = httpx.post(record.inference_url + PREDICTIONS_PATH, content=image, timeout=60, trust_env=False)
    except httpx.HTTPError:
        return None
    return answer.json().get("model_version") if answer.is_success else None


def wait_served(record: StackRecord, image: bytes, version: int) -> None:
    """Until this version answers."""
    end = time.monotonic() + PATIENCE
    while served(record, image) != version:
        if time.monotonic() > end:
            raise SystemExit(f"version {version} was not served within {PATIENCE:.0f} s")
        time.sleep(0.1)


def measure(classes: int, folder: Path) -> tuple[dict[str, Any], list[float]]:
    """What single classes took beside so many, and the milliseconds of each answer before them."""
    store, generator = folder / "data" / "store", np.random.default_rng(7)
    publish(made_state(classes, EACH), store, folder / "made")
    buffer = io.BytesIO()
    Image.fromarray(made_image(generator, SIDE)).save(buffer, "JPEG", quality=90)
    image = buffer.getvalue()
    with DemoStack(folder / "data", folder / "stack.log", SETTINGS) as record:
        wait_served(record, image, 1)
        answers = _ask(record, image)
        updates = []
        for number in range(2, 2 + DROPS):
            drop(store, f"new {number}", generator)
            started = time.monotonic()
            wait_served(record, image, number)
            seconds = round(time.monotonic() - started, 2)
            steps = json.loads((store / "versions" / str(number) / "manifest.json").read_bytes())["timings"]
            updates.append({"seconds": seconds, "load_average": round(os.getloadavg()[0], 1), "steps": steps})
    return {"classes": classes, "updates": updates}, answers


def _ask(record: StackRecord, image: bytes) -> list[float]:
    times = []
    with httpx.Client(timeout=60, trust_env=False) as client:
        for _ in range(WARM + ASKED):
            started = time.monotonic()
            client.post(record.inference_url + PREDICTIONS_PATH, content=image).raise_for_status()
            times.append(1000 * (time.monotonic() - started))
    return times[WARM:]


def main() -> None:
    """Measure both sizes, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    sizes, answers = [], []
    for count in (FEW, arguments.classes):
        with tempfile.TemporaryDirectory(prefix="lucir-many-") as work:
            size, times = measure(count, Path(work))
        size["answer_milliseconds"] = {"median": round(float(np.median(times)), 1), "least": round(min(times), 1)}
        sizes.append(size)
        answers.append(min(times))
    result = {"machine": machine(), "sizes": sizes, "answer_ratio_of_least": round(answers[1] / answers[0], 2)}
    show(result, arguments.output)


if __name__ == "__main__":
    main()
