"""Very many objects on a real S3 server: what looking at them costs, waiting in ``incoming/`` and archived.

    python -m benchmarks.listing.run --output benchmarks/listing/result.json

Starts MinIO (``tools/servers/install_minio.sh`` installs it). First the updater's look at an empty ``incoming/``, then
the same with 100,000 objects in ``archive/``, then with as many in ``incoming/`` too, in folders of 1,000; each several
times, in a process of its own, whose peak memory is read before the first look and after the last.
"""

import argparse
import io
import json
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.result import machine, show
from handlers.settings import UpdaterSettings
from handlers.updater.intake.watch import Watcher
from handlers.updater.metrics import Metrics
from handlers.updater.status import Status
from tools.servers.minio_server import minio_server
from tools.servers.server import Server

FOLDER = 1000


def fill(server: Server, bucket: str, prefix: str, objects: int) -> float:
    """Upload small objects; return the seconds."""
    client, started = server.admin(), time.monotonic()

    def put(number: int) -> None:
        key = f"{prefix}class-{number // FOLDER:03d}/{number:06d}.png"
        client.put_object(bucket, key, io.BytesIO(b"%06d" % number), 6)

    with ThreadPoolExecutor(8) as pool:
        for _ in pool.map(put, range(objects)):
            pass
    return round(time.monotonic() - started, 1)


def peak() -> float:
    """Of this process, in MiB; not what ``getrusage`` says, which counts the process that it was forked from."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:"))


def look(endpoint: str, bucket: str, times: int) -> dict[str, Any]:
    """What the watcher's looks take and see."""
    store = Server(endpoint, "minio").open(bucket)
    watcher = Watcher(store, UpdaterSettings(), Metrics(), Status(store.url))
    store.conditional_writes  # noqa: B018  (the connection is there before anything is measured)
    before, seconds, states = peak(), [], []
    for _ in range(times):
        started = time.monotonic()
        states = watcher.look()
        seconds.append(time.monotonic() - started)
    return {
        "folders": len(states),
        "objects": sum(state.folder.images for state in states),
        "seconds_a_look_median": round(statistics.median(seconds), 4),
        "seconds_a_look_longest": round(max(seconds), 4),
        "peak_mib_before": round(before, 1),
        "peak_mib_after": round(peak(), 1),
    }


def measured(server: Server, bucket: str, times: int) -> dict[str, Any]:
    """``look`` in a process of its own."""
    words = [sys.executable, "-m", "benchmarks.listing.run", "--look", server.endpoint, bucket, str(times)]
    found: dict[str, Any] = json.loads(
        subprocess.run(words, check=True, capture_output=True, text=True, encoding="utf-8").stdout
    )
    return found


def main() -> int:
    """Fill, look, write down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objects", type=int, default=100_000)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--look", nargs=3, metavar=("ENDPOINT", "BUCKET", "TIMES"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.look:
        endpoint, bucket, times = options.look
        sys.stdout.write(json.dumps(look(endpoint, bucket, int(times))))
        return 0
    with tempfile.TemporaryDirectory(prefix="lucir-listing-") as folder, minio_server(Path(folder)) as server:
        bucket = server.bucket()
        result: dict[str, Any] = {
            "command": f"python -m benchmarks.listing.run --objects {options.objects}",
            "machine": machine(),
            "empty": measured(server, bucket, 50),
        }
        result["seconds_to_upload"] = fill(server, bucket, "archive/000001/", options.objects)
        result["archived"] = measured(server, bucket, 50)
        fill(server, bucket, "incoming/", options.objects)
        result["waiting"] = measured(server, bucket, 5)
    show(result, options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
