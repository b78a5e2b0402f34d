"""Photographs of 300 x 200 pixels, dropped into a real stack in four drops, and asked about over HTTP.

    python -m benchmarks.photos.dropped FOLDER --output benchmarks/photos/dropped.json

FOLDER has at least 12 classes of more than 45 images. Every image is cut to 3 : 2, drawn to 300 x 200 pixels and
written as JPEG of quality 75. For each seed and each number of images per class a stack starts with nothing
(`lucir up`, no setting but a short settling time); twelve classes come in drops of 4, 3, 2 and 3. After each drop at
most 20 other images of each known class are asked about. ``seconds`` go from the end of the copying to the answer of
the new version.
"""

import argparse
import io
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from benchmarks.result import machine, show
from handlers.client import Client
from handlers.demo.service_accuracy import Measured, ask_service
from handlers.demo.stack import DemoStack

SIZE, QUALITY = (300, 200), 75
DROPS, LEARNT, ASKED = (4, 3, 2, 3), 45, 20
SETTINGS = ("--set", "updater.settle_seconds=1", "--set", "updater.poll_seconds=1")

Images = Mapping[str, Sequence[bytes]]


def read(folder: Path) -> dict[str, list[bytes]]:
    """By class, the images as JPEG files of the size that is asked for."""
    found = {}
    for path in sorted(one for one in folder.iterdir() if one.is_dir()):
        found[path.name] = [_encoded(file) for file in sorted(path.iterdir()) if file.is_file()]
    return found


def _encoded(file: Path) -> bytes:
    buffer = io.BytesIO()
    drawn = ImageOps.fit(Image.open(file).convert("RGB"), SIZE, Image.Resampling.BICUBIC)
    drawn.save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()


def run(images: Images, seed: int, count: int) -> list[dict[str, Any]]:
    """What each of the four drops led to; ``count`` images of each class are learnt."""
    generator = np.random.default_rng(seed)
    names = generator.permutation(sorted(images))[: sum(DROPS)].tolist()
    order = {name: generator.permutation(len(images[name])) for name in names}
    asked = {name: [images[name][place] for place in order[name][LEARNT : LEARNT + ASKED]] for name in names}
    rows, before, ends = [], None, np.cumsum(DROPS).tolist()
    with tempfile.TemporaryDirectory(prefix="lucir-dropped-") as work:
        data = Path(work) / "data"
        with DemoStack(data, Path(work) / "stack.log", SETTINGS) as record, Client(data) as client:
            for number, end in enumerate(ends):
                new = names[end - DROPS[number] : end]
                folder = Path(work) / f"drop {number}"
                for name in new:
                    (folder / name).mkdir(parents=True)
                    for place in order[name][:count]:
                        (folder / name / f"{place}.jpg").write_bytes(images[name][place])
                drop = client.drop(folder)
                started = time.monotonic()
                outcome = client.wait(drop)
                if outcome.version is None or outcome.failure:
                    raise SystemExit(f"seed {seed}, drop {number + 1} was not learnt: {outcome.failure}")
                seconds = time.monotonic() - started
                known = {name: asked[name] for name in names[:end]}
                measured = ask_service(record.inference_url, outcome.version, known, tuple(new), before)
                rows.append({"classes": end, "seconds": round(seconds, 2), **_row(client, outcome.version, measured)})
                before = measured
    return rows


def _row(client: Client, version: int, measured: Measured) -> dict[str, Any]:
    """What was measured over HTTP beside what the service says of itself."""
    told = next(row for row in client.versions() if row.version == version)
    if told.accuracy is None or told.interval is None:
        raise SystemExit(f"version {version} says nothing of its accuracy: look at its report")
    shares = {"all": measured.all, "old": measured.old, "new": measured.fresh, "old_before": measured.old_before}
    return {
        **{name: None if value is None else round(value, 4) for name, value in shares.items()},
        "asked": sum(measured.counts.values()),
        "gate": told.gate,
        "shown": round(told.accuracy, 4),
        "interval": [round(bound, 4) for bound in told.interval],
        "load_average": round(os.getloadavg()[0], 1),
    }


def main() -> None:
    """Every number of images with every seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, nargs="+", default=[3, 5, 20, 45])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1993, 1994, 1995])
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    images = read(arguments.folder)
    large = {name: files for name, files in images.items() if len(files) > LEARNT}
    if len(large) < sum(DROPS):
        raise SystemExit(f"{arguments.folder} has {len(large)} classes of more than {LEARNT} images: give 12")
    runs = [
        {"images": count, "seed": seed, "drops": run(large, seed, count)}
        for count in arguments.images
        for seed in arguments.seeds
    ]
    show({"machine": machine(), "size": SIZE, "quality": QUALITY, "runs": runs}, arguments.output)


if __name__ == "__main__":
    main()
