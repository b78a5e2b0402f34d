"""Ingest through a real S3 server, against a bare loop of parallel GETs and decoding in the same run.

    python -m benchmarks.ingest.run --output benchmarks/ingest/result.json

Starts MinIO (``tools/servers/install_minio.sh`` installs it), puts 10,000 PNG files of 32x32 pixels in ten class
folders, then in turns, each in a process of its own: the updater's whole ingest (list, download, hash, decode, check,
resize, plan) and a loop that only gets and decodes, with whatever number of threads is best for it.
"""

import argparse
import io
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from minio import Minio
from PIL import Image

from benchmarks.result import machine, show
from handlers.bucket.updates import UpdateRecords
from handlers.settings import ImageLimits, Settings
from handlers.store import open_settings_store
from handlers.updater.intake.listing import scan
from handlers.updater.intake.plan import Ingest
from handlers.updater.intake.selection import select
from model_store.versions import VersionStore
from tools.servers.minio_server import minio_server
from tools.servers.server import ACCESS_KEY, REGION, SECRET_KEY, Server

CLASSES, PER_CLASS, SIDE = 10, 1000, 32
THREADS = (4, 8, 16)


def noise_image(seed: int) -> bytes:
    """A PNG of a smooth pattern with some noise: about as large as a photograph of that size."""
    generator = np.random.default_rng(seed)
    coarse = Image.fromarray(generator.integers(0, 256, (4, 4, 3), np.uint8)).resize((SIDE, SIDE))
    noise = generator.integers(-12, 13, (SIDE, SIDE, 3))
    buffer = io.BytesIO()
    Image.fromarray(np.clip(np.asarray(coarse) + noise, 0, 255).astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def fill(server: Server, bucket: str, images: int) -> int:
    """Upload; return the bytes."""
    client = server.admin()

    def put(number: int) -> int:
        data = noise_image(number)
        client.put_object(bucket, f"incoming/class-{number % CLASSES}/{number:05d}.png", io.BytesIO(data), len(data))
        return len(data)

    with ThreadPoolExecutor(8) as pool:
        return sum(pool.map(put, range(images)))


def bare(endpoint: str, bucket: str, threads: int) -> dict[str, float]:
    """GET and decode everything, nothing else."""
    client = Minio(endpoint.partition("://")[2], ACCESS_KEY, SECRET_KEY, secure=False, region=REGION)
    keys = [found.object_name or "" for found in client.list_objects(bucket, prefix="incoming/", recursive=True)]

    def one(key: str) -> int:
        response = client.get_object(bucket, key)
        try:
            data = response.read()
        finally:
            response.close()
            response.release_conn()
        with Image.open(io.BytesIO(data)) as image:
            return int(np.asarray(image.convert("RGB")).size)

    with ThreadPoolExecutor(threads) as pool:
        started = time.monotonic()
        total = sum(pool.map(one, keys))
        seconds = time.monotonic() - started
    return {"images": len(keys), "seconds": seconds, "pixels": total}


def ingest(endpoint: str, bucket: str, folder: Path) -> dict[str, float]:
    """The updater's ingest, as its step runs it."""
    settings = Settings.model_validate(
        {
            "data": folder,
            "store": f"s3://{bucket}",
            "s3": {"endpoint": endpoint, "access_key": ACCESS_KEY, "secret_key": SECRET_KEY, "region": REGION},
            "images": ImageLimits(),
        }
    )
    objects = open_settings_store(settings)
    versions, records = VersionStore(objects), UpdateRecords(objects)
    intent = records.begin(select(list(scan(objects).values()), settings.updater.max_images_per_update, first=True))
    started = time.monotonic()
    plan = Ingest(objects, versions, settings, SIDE).run(intent, None, folder / "work", lambda: None)
    records.write_plan(plan)
    seconds = time.monotonic() - started
    usable = len(plan.of_role("train", "holdout"))
    return {"images": usable, "seconds": seconds}


def in_process(call: Callable[[], dict[str, float]]) -> None:
    """Run a part and print what it took; memory is the most that this process ever held."""
    result = call()
    result["peak_memory_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    sys.stdout.write(json.dumps(result) + "\n")


def part(*words: object) -> dict[str, float]:
    """A part in a process of its own."""
    answer = subprocess.run(
        [sys.executable, "-m", "benchmarks.ingest.run", "--part", *map(str, words)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )
    found: dict[str, float] = json.loads(answer.stdout.splitlines()[-1])
    return found


def measure(images: int, turns: int) -> dict[str, Any]:
    """Everything, in turns."""
    with tempfile.TemporaryDirectory(prefix="lucir-ingest-") as folder, minio_server(Path(folder) / "minio") as server:
        bucket = server.bucket()
        size = fill(server, bucket, images)
        loops: list[dict[str, float]] = []
        ingests: list[dict[str, float]] = []
        best = min(THREADS, key=lambda threads: part("bare", server.endpoint, bucket, threads)["seconds"])
        for turn in range(turns):
            loops.append(part("bare", server.endpoint, bucket, best))
            ingests.append(part("ingest", server.endpoint, bucket, Path(folder) / f"ingest-{turn}"))
    if any(found["images"] != images for found in (*loops, *ingests)):
        raise RuntimeError(f"images went missing: {loops} {ingests}")
    loop, own = (statistics.median(found["seconds"] for found in some) for some in (loops, ingests))
    return {
        "command": "python -m benchmarks.ingest.run",
        "machine": machine(),
        "images": images,
        "bytes": size,
        "bare_loop_threads": best,
        "bare_loop_seconds": [round(found["seconds"], 2) for found in loops],
        "ingest_seconds": [round(found["seconds"], 2) for found in ingests],
        "ingest_images_per_second": round(images / own),
        "share_of_the_bare_loop": round(loop / own, 3),
        "ingest_peak_memory_bytes": max(found["peak_memory_bytes"] for found in ingests),
    }


def main() -> int:
    """Measure, or run one part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=CLASSES * PER_CLASS)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--part", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        name, endpoint, bucket, last = options.part
        in_process(
            (lambda: bare(endpoint, bucket, int(last)))
            if name == "bare"
            else (lambda: ingest(endpoint, bucket, Path(last)))
        )
        return 0
    show(measure(options.images, options.turns), options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
