"""What an update asks of its store, and the processor time that it takes: figures that other work does not change.

    python -m benchmarks.overhead.calls --before OTHER_CHECKOUT --output benchmarks/overhead/calls.json

An updater of this tree, and one of another checkout, in turn and each in a process of its own, learn the same digits in
two drops; what the second update took is counted: the calls of the store by name (of the threads that work, and of the
lease apart), the bytes in both directions, the processor time of the updater and of its learning child, and the seconds
from the drop to the end, which other work does change.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

from handlers.settings import Settings
from handlers.store import open_settings_store
from handlers.updater import __main__ as updater_process

ROOT = Path(__file__).parents[2]
PATIENCE = 240.0
IDLE_THREADS = frozenset({"watch", "hints", "events", "reconcile", "web"})
OVERRIDES = {"network": "resnet8", "size": 8, "resize": 8, "epochs": 2, "exemplars_per_class": 3}


class CountedStore:
    """Counts calls by name, and their bytes, of all threads that do not only look."""

    def __init__(self, objects: Any) -> None:
        self._objects = objects
        self.calls: Counter[str] = Counter()
        self.bytes = 0

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._objects, name)
        thread = threading.current_thread().name
        if not callable(found) or thread in IDLE_THREADS:
            return found

        def call(*arguments: Any, **options: Any) -> Any:
            result = found(*arguments, **options)
            self.calls[f"lease: {name}" if thread == "lease" else name] += 1
            moved = [one for one in (*arguments[1:], result) if isinstance(one, bytes | Path)]
            self.bytes += sum(len(one) if isinstance(one, bytes) else one.stat().st_size for one in moved)
            return result

        return call


def processor_seconds() -> float:
    """Of this process and of its children that have ended."""
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in spent)


def drop(store: Path, folders: dict[str, tuple[int, int, int]]) -> None:
    """Digits (name -> digit, first, count) as a person would copy them."""
    digits = load_digits()
    for name, (digit, first, count) in folders.items():
        (store / "incoming" / name).mkdir(parents=True)
        for index, scan in enumerate(digits.images[digits.target == digit][first : first + count]):
            Image.fromarray((scan * 15).astype(np.uint8)).save(store / "incoming" / name / f"{digit}-{index}.png")
        (store / "incoming" / name / "_READY").touch()


def settings_in(data: Path) -> Settings:
    """What both checkouts understand; a network that hardly trains."""
    return Settings.model_validate(
        {
            "data": data,
            "updater": {"settle_seconds": 0, "min_images": 2, "poll_seconds": 1},
            "learning": {"preset": "digits", "overrides": OVERRIDES, "device": "cpu", "threads": 1, "nice": 0},
            "gate": {"max_old_accuracy_loss": 1.0, "min_new_accuracy": 0.0},
        }
    )


def measure(data: Path) -> int:
    """In a process of the checkout that ``PYTHONPATH`` names: two drops; tells of the second as JSON."""
    (data / "store").mkdir(parents=True)
    counted: list[CountedStore] = []

    def open_counted(settings: Settings) -> Any:
        counted.append(CountedStore(open_settings_store(settings)))
        return counted[-1]

    with patch.object(updater_process, "open_settings_store", open_counted):
        updater = updater_process.make_updater(settings_in(data))
    updater._services.wait_served = lambda *_: True  # noqa: SLF001 (no server here)
    drop(data / "store", {"zero": (0, 0, 8), "one": (1, 0, 8)})

    def watch() -> None:
        try:
            wait_for(data / "store" / "updates" / "000001" / "done.json")
            counted[-1].calls.clear()
            counted[-1].bytes, before, began = 0, processor_seconds(), time.monotonic()
            drop(data / "store", {"two": (2, 0, 20)})
            wait_for(data / "store" / "updates" / "000002" / "done.json")
            took = {"seconds": time.monotonic() - began, "processor_seconds": processor_seconds() - before}
            sys.stdout.write(json.dumps({"calls": dict(counted[-1].calls), "bytes": counted[-1].bytes, **took}))
            sys.stdout.flush()
        finally:
            os._exit(0)

    threading.Thread(target=watch, daemon=True).start()
    updater.run()
    return 1


def wait_for(path: Path) -> None:
    """Until it is there. Raises ``TimeoutError``."""
    end = time.monotonic() + PATIENCE
    while not path.exists():
        if time.monotonic() > end:
            raise TimeoutError(f"{path} is not there after {PATIENCE:.0f} s")
        time.sleep(0.05)


def measured(checkout: Path) -> dict[str, Any]:
    """What ``measure`` tells of a checkout."""
    with tempfile.TemporaryDirectory(prefix="lucir-calls-") as folder:
        done = subprocess.run(
            [sys.executable, str(Path(__file__).resolve()), "--measure", str(Path(folder) / "data")],
            cwd=checkout,
            env={**os.environ, "PYTHONPATH": str(checkout)},
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=True,
        )
    if not done.stdout:
        raise RuntimeError(f"nothing was measured in {checkout}: {done.stderr[-2000:]}")
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def main() -> int:
    """Measure both, in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, help="another checkout")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path, help="where the result is written as JSON")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure is not None:
        return measure(options.measure)
    places = {"now": ROOT, **({"before": options.before.resolve()} if options.before is not None else {})}
    rounds = [{name: measured(place) for name, place in places.items()} for _ in range(options.rounds)]
    result = {name: summary([one[name] for one in rounds]) for name in places}
    text = json.dumps(result, indent=2) + "\n"
    if options.output is not None:
        options.output.write_text(text, encoding="utf-8")
    sys.stdout.write(text)
    return 0


def summary(found: list[dict[str, Any]]) -> dict[str, Any]:
    """The calls and bytes of the last round; times of all, and in the middle."""
    calls = found[-1]["calls"]
    times: dict[str, Any] = {}
    for name in ("processor_seconds", "seconds"):
        each = [one[name] for one in found]
        times |= {name: round(statistics.median(each), 2), f"{name}_of_each": [round(one, 2) for one in each]}
    return {
        "calls": dict(sorted(calls.items())),
        "calls_of_the_update": sum(count for name, count in calls.items() if not name.startswith("lease")),
        "bytes": found[-1]["bytes"],
        **times,
    }


if __name__ == "__main__":
    sys.exit(main())
