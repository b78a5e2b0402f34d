"""What followers cost a store, and how soon they know a new version: their reads of the pointer, on a real MinIO.

A follower's reads are those of ``VersionStore.current`` every ``follower.pointer_seconds``; here many of them share a
process, without the server that a real one has beside it.
"""

import os
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from handlers.settings import Settings
from model_store.objects import ObjectStore
from model_store.versions import VersionStore
from tools.servers.minio_server import minio_server
from tools.servers.server import Server

POINTER = b'{"version": %d, "previous": null, "reason": "benchmark", "changed_at": "2026-01-01T00:00:00Z"}'
KEY = "versions/current.json"
THREADS, SECONDS = 64, 10.0
FOLLOWERS = (30, 100, 300, 1_000)
SETTLED = 3
"""Reads of each follower before the pointer moves."""


def pointer_reads() -> dict[str, object]:
    """Reads a second as fast as 64 threads ask; then followers that ask in their rhythm."""
    with tempfile.TemporaryDirectory(prefix="lucir-growing-") as folder, minio_server(Path(folder)) as server:
        bucket = server.bucket()
        server.open(bucket).write(KEY, POINTER % 1)
        most = as_fast_as_possible(server, bucket)
        followers = {str(count): follow(server, bucket, count) for count in FOLLOWERS}
    return {"threads": THREADS, "reads_per_second": most, "followers": followers}


def as_fast_as_possible(server: Server, bucket: str) -> int:
    """Reads a second."""
    end = time.monotonic() + SECONDS

    def read(_: int) -> int:
        versions, reads = VersionStore(server.open(bucket)), 0
        while time.monotonic() < end:
            versions.current()
            reads += 1
        return reads

    with ThreadPoolExecutor(THREADS) as pool:
        return round(sum(pool.map(read, range(THREADS))) / SECONDS)


def follow(server: Server, bucket: str, count: int) -> dict[str, float]:
    """Reads a second of so many, and seconds from a new pointer until the first, the middle and the last know it."""
    pause = Settings().follower.pointer_seconds
    store = server.open(bucket)
    store.write(KEY, POINTER % 1)
    began = time.monotonic()
    read_times: list[float] = []

    def one(number: int) -> float:
        versions = VersionStore(server.open(bucket))
        time.sleep(pause * number / count)  # they were not started in the same moment
        while True:
            started = time.monotonic()
            pointer = versions.current()
            read_times.append(time.monotonic() - started)
            if pointer is not None and pointer.version == 2:
                return time.monotonic()
            time.sleep(pause)

    with ThreadPoolExecutor(count) as pool:
        told = [pool.submit(one, number) for number in range(count)]
        time.sleep(pause * SETTLED)
        reads, seconds = len(read_times), time.monotonic() - began
        moved_at = move(store)
        after = sorted(each.result() - moved_at for each in told)
    slow = sorted(read_times)[int(0.99 * len(read_times))]
    return {
        "reads_per_second": round(reads / seconds, 1),
        "read_99_percent_ms": round(1000 * slow, 1),
        "first": round(after[0], 2),
        "middle": round(after[count // 2], 2),
        "last": round(after[-1], 2),
        "load": round(os.getloadavg()[0], 1),
    }


def move(store: ObjectStore) -> float:
    """The pointer names version 2 from this moment on."""
    store.write(KEY, POINTER % 2)
    return time.monotonic()
