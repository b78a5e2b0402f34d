"""What clients notice of swaps, and of versions that fail their checks; both engines.

``python -m benchmarks.serving.swaps --output benchmarks/serving/swaps.json``: two versions of one network take turns
under the load of some clients, with a rest between; then versions that nobody has here yet follow in the same way; then
the two take turns without a rest; then the pointer goes to versions that are damaged, each in one of several ways, and
back.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.result import machine, show
from benchmarks.serving.made_version import make_version, publish_damaged
from benchmarks.serving.peers import Peer, ours
from handlers.inference.workers.priority import give_way
from handlers.torchserve.loop import BUSY_SECONDS
from handlers.torchserve.reconcile import Reconciler
from lucir_core.testing import synthetic_images
from model_store.directory.directory_store import DirectoryStore
from model_store.versions import VersionStore

LONGEST_SECONDS = 60.0
"""Of one swap."""
AROUND_SECONDS = 1.0
"""From a decision on: the answers that a swap may delay."""


def main() -> None:
    """Run it, print the figures, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--presets", nargs="+", default=["digits", "photo"])
    parser.add_argument("--engines", nargs="+", default=["uvicorn", "torchserve"])
    parser.add_argument("--single", type=int, default=20, help="swaps with a rest before each")
    parser.add_argument("--rows", type=int, default=1000, help="swaps without a rest (first preset)")
    parser.add_argument("--damaged", type=int, default=100, help="versions that fail (first preset)")
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    found = []
    for preset in options.presets:
        for engine in options.engines:
            long = preset == options.presets[0]
            with tempfile.TemporaryDirectory(prefix="lucir-swaps-") as name:
                found.append(measure(Path(name), preset, engine, options, long=long))
            sys.stdout.write(json.dumps(found[-1], indent=2) + "\n")
    show({"machine": machine(), "clients": options.clients, "runs": found}, options.output)


def measure(folder: Path, preset: str, engine: Any, options: argparse.Namespace, *, long: bool) -> dict[str, Any]:
    """One engine with one network."""
    make_version(folder, preset, versions=2 + options.single)
    image = folder / "image.jpg"
    Image.fromarray(synthetic_images(0, 1, side=160)[0]).save(image, quality=85)
    with ours(engine, folder / "store", folder / "data") as peer, swapper(peer, folder) as swap:
        for version in (2, 1):
            swap.to(version)  # both are mirrored now
        mirrored = [1 + number % 2 for number in range(1, options.single + 1)]
        new = range(3, options.single + 3)
        result = {
            "preset": preset,
            "engine": engine,
            "mirrored": single(peer, swap, image, options.clients, mirrored),
            "new": single(peer, swap, image, options.clients, new),
        }
        if long and options.rows:
            result["in_a_row"] = in_a_row(peer, swap, image, options)
        if long and options.damaged:
            result["damaged"] = damaged(peer, swap, image, options)
    return result


class Swapper:
    """Moves the pointer and reconciles as the updater's loop does, until the version answers or is refused."""

    def __init__(self, versions: VersionStore, reconciler: Reconciler, pause: float) -> None:
        self.versions = versions
        self._reconciler = reconciler
        self._pause = pause

    def to(self, version: int) -> float:
        """Returns when it was decided (the monotonic clock). Raises ``RuntimeError`` when neither happens."""
        self.versions.point_to(version, "benchmark")
        decided = time.monotonic()
        while True:
            state = self._reconciler.step()
            if state.phase == "failed" or (state.phase == "serving" and state.served == version):
                return decided
            if time.monotonic() > decided + LONGEST_SECONDS:
                raise RuntimeError(f"version {version} is not served: {state}")
            time.sleep(self._pause)


@contextmanager
def swapper(peer: Peer, folder: Path) -> Iterator[Swapper]:
    """For a running server of ours."""
    versions = VersionStore(DirectoryStore(folder / "store"))
    settings = peer.settings
    if settings is None:
        raise ValueError(f"{peer.name} is not a server of ours")
    with Reconciler(settings, versions) as reconciler:
        yield Swapper(versions, reconciler, BUSY_SECONDS[settings.serving.engine])


class Seen:
    """Answers that clients got: columns asked, answered (seconds), status, version."""

    def __init__(self, rows: list[Any]) -> None:
        self.asked, self.answered, self.status, self.version = np.array(rows).T
        self.took = (self.answered - self.asked) * 1e3

    def summary(self) -> dict[str, float]:
        """Counts, and milliseconds."""
        return {"requests": len(self.took), "not_200": int((self.status != 200).sum()), **percentiles(self.took)}

    def first_answer(self, decided: float, version: int) -> float:
        """Milliseconds from a decision to the first answer by the version."""
        return float(self.answered[(self.version == version) & (self.answered > decided)].min() - decided) * 1e3


@contextmanager
def load(peer: Peer, image: Path, clients: int) -> Iterator[list[Seen]]:
    """Clients that ask meanwhile; the list holds what they saw at the end."""
    command = [sys.executable, "-m", "benchmarks.serving.version_load", peer.url, str(image), str(clients)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    found: list[Seen] = []
    try:
        yield found
    finally:
        out, _ = process.communicate(timeout=LONGEST_SECONDS)
    found.append(Seen(json.loads(out)))


def single(peer: Peer, swap: Swapper, image: Path, clients: int, targets: Sequence[int]) -> dict[str, Any]:
    """Swaps with a rest: how long each takes, and whether the requests around it take longer than others."""
    decided = []
    with load(peer, image, clients) as found:
        give_way()  # as the loop does; the clients run already
        time.sleep(3.0)
        for target in targets:
            decided.append(swap.to(target))
            time.sleep(2 * AROUND_SECONDS)
    seen = found[0]
    first = [seen.first_answer(at, target) for at, target in zip(decided, targets, strict=True)]
    around = np.zeros(len(seen.took), bool)
    for at in decided:
        around |= (seen.answered >= at) & (seen.asked <= at + AROUND_SECONDS)
    steady = ~around & (seen.asked > seen.asked.min() + 1.0)
    return {
        **seen.summary(),
        "swaps": len(decided),
        "first_new_answer_ms": {"median": round(float(np.median(first)), 1), "longest": round(max(first), 1)},
        "around_swaps": percentiles(seen.took[around]),
        "steady": percentiles(seen.took[steady]),
    }


def in_a_row(peer: Peer, swap: Swapper, image: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Swaps without a rest: failed requests, memory, and processor time per request at the begin and at the end."""
    memory, cpu = [peer.memory_mib()], [peer.cpu_seconds()]
    marks, begun = [time.monotonic()], time.monotonic()
    with load(peer, image, options.clients) as found:
        for number in range(options.rows):
            swap.to(1 + (number + 1) % 2)
            if number + 1 in {options.rows // 10, options.rows * 9 // 10, options.rows}:
                memory.append(peer.memory_mib())
                cpu.append(peer.cpu_seconds())
                marks.append(time.monotonic())
    seen = found[0]
    counts = [int(((seen.answered > a) & (seen.answered <= b)).sum()) for a, b in pairwise(marks)]
    spent = [round(1e3 * (b - a) / max(1, n), 2) for (a, b), n in zip(pairwise(cpu), counts, strict=True)]
    names = ("before", "after_a_tenth", "after_nine_tenths", "at_the_end")
    return {
        **seen.summary(),
        "swaps": options.rows,
        "seconds": round(time.monotonic() - begun, 1),
        "memory_mib": dict(zip(names, (round(each, 1) for each in memory), strict=True)),
        "cpu_ms_per_request": dict(zip(names[1:], spent, strict=True)),
    }


def damaged(peer: Peer, swap: Swapper, image: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Versions that fail, one after the other, the last good one answering meanwhile."""
    swap.to(1)
    first = swap.versions.numbers()[-1] + 1
    with tempfile.TemporaryDirectory(prefix="lucir-damaged-") as scratch:
        for number in range(first, first + options.damaged):
            publish_damaged(swap.versions, number, 1, Path(scratch))
    before = peer.memory_mib()
    with load(peer, image, options.clients) as found:
        for number in range(first, first + options.damaged):
            swap.to(number)
        swap.to(1)
    seen = found[0]
    return {
        **seen.summary(),
        "versions": options.damaged,
        "answered_by": sorted(map(int, set(seen.version))),
        "memory_mib": {"before": round(before, 1), "at_the_end": round(peer.memory_mib(), 1)},
    }


def percentiles(took: Any) -> dict[str, float]:
    """Milliseconds."""
    if not len(took):
        return {}
    values = np.percentile(took, [50, 99, 100])
    return dict(zip(("p50_ms", "p99_ms", "longest_ms"), (round(float(each), 1) for each in values), strict=True))


if __name__ == "__main__":
    main()
