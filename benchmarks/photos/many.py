"""Very many classes: how long one more takes from drop to served, and how fast a server answers, beside ten classes.

    python -m benchmarks.photos.many --classes 1000 --output benchmarks/photos/many.json

A store is made whose version 1 knows the classes by made features, 20 of each (see ``made_store``); a real stack
(``lucir up``) serves it and learns single classes of 20 JPEG images of 300 pixels, which pass the real backbone.
Answers are asked of both stacks in turn, so that the load of the machine is the same for both.
The first drop fetches the version from the store; from the second on it lies on the updater's disk.
"""

import argparse
import io
import json
import os
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
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


def learnt(record: StackRecord, store: Path, image: bytes) -> list[dict[str, Any]]:
    """What single classes took, one after the other."""
    generator, updates = np.random.default_rng(7), []
    for number in range(2, 2 + DROPS):
        drop(store, f"new {number}", generator)
        started = time.monotonic()
        wait_served(record, image, number)
        seconds = round(time.monotonic() - started, 2)
        steps = json.loads((store / "versions" / str(number) / "manifest.json").read_bytes())["timings"]
        updates.append({"seconds": seconds, "load_average": round(os.getloadavg()[0], 1), "steps": steps})
    return updates


def asked_in_turn(records: Sequence[StackRecord], image: bytes) -> list[list[float]]:
    """Milliseconds of the answers of each stack."""
    times: list[list[float]] = [[] for _ in records]
    with httpx.Client(timeout=60, trust_env=False) as client:
        for _ in range(WARM + ASKED):
            for record, mine in zip(records, times, strict=True):
                started = time.monotonic()
                client.post(record.inference_url + PREDICTIONS_PATH, content=image).raise_for_status()
                mine.append(1000 * (time.monotonic() - started))
    return [mine[WARM:] for mine in times]


def measured(counts: Sequence[int], work: Path) -> dict[str, Any]:
    """Answers and updates of a stack for each number of classes."""
    buffer = io.BytesIO()
    Image.fromarray(made_image(np.random.default_rng(8), SIDE)).save(buffer, "JPEG", quality=90)
    image, folders = buffer.getvalue(), [work / str(count) for count in counts]
    with ExitStack() as stacks:
        for count, folder in zip(counts, folders, strict=True):
            publish(made_state(count, EACH), folder / "data" / "store", folder / "made")
        records = [
            stacks.enter_context(DemoStack(folder / "data", folder / "stack.log", SETTINGS)) for folder in folders
        ]
        for record in records:
            wait_served(record, image, 1)
        times = asked_in_turn(records, image)
        sizes = [
            {
                "classes": count,
                "answer_milliseconds": {"median": round(float(np.median(mine)), 1), "least": round(min(mine), 1)},
                "updates": learnt(record, folder / "data" / "store", image),
            }
            for count, folder, record, mine in zip(counts, folders, records, times, strict=True)
        ]
    medians, least = ([measure(mine) for mine in times] for measure in (np.median, min))
    ratios = {"median": round(float(medians[1] / medians[0]), 2), "least": round(least[1] / least[0], 2)}
    return {"machine": machine(), "answer_ratio": ratios, "sizes": sizes}


def main() -> None:
    """Measure both sizes side by side."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lucir-many-") as work:
        show(measured((FEW, arguments.classes), Path(work)), arguments.output)


if __name__ == "__main__":
    main()
