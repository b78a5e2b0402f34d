"""The updater of ``benchmarks.growing.updates``: it is given one drop after the other, and says what each took."""

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psutil

from benchmarks.overhead.calls import IDLE_THREADS, CountedStore, processor_seconds
from handlers.settings import Settings
from handlers.sidecar.http import WebServer
from handlers.stack.ports import free_ports
from handlers.store import open_settings_store
from handlers.updater.context.preset import resolved
from handlers.updater.http.app import make_app
from handlers.updater.service import Updater
from lucir_core.config.phase_config import load_preset
from model_store.versions import VersionStore
from tools.processes import process_tree

PATIENCE = 300.0
SIDE = 32
LISTINGS = ("list", "folders", "list_everything")


class ListingStore(CountedStore):
    """Counts what is listed, too: the calls stay few however long the lists grow."""

    def __init__(self, objects: Any) -> None:
        super().__init__(objects)
        self.listed: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Any:
        found = super().__getattr__(name)
        if name not in LISTINGS or threading.current_thread().name in IDLE_THREADS:
            return found
        return lambda prefix: self._each(prefix, found(prefix))

    def _each(self, prefix: str, entries: Iterator[Any]) -> Iterator[Any]:
        for entry in entries:
            self.listed[prefix.partition("/")[0]] += 1
            yield entry


def main() -> int:
    """Learn the drops of a folder, and tell of each in a line of JSON."""
    folder, updates = Path(sys.argv[1]), int(sys.argv[2])
    settings = settings_in(folder)
    (folder / "store").mkdir()
    objects = ListingStore(open_settings_store(settings))
    settings = resolved(settings, VersionStore(objects))
    updater = Updater(settings, load_preset(settings.learning.preset, settings.learning.overrides), objects)
    web = WebServer(make_app(updater), "127.0.0.1", 0)
    web.start()

    def drops() -> None:
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{web.port}", timeout=60, trust_env=False) as client:
                for number in range(1, updates + 1):
                    row = one_update(folder, number, objects, client)
                    sys.stdout.write(json.dumps(row | {"memory_mib": memory(server)}) + "\n")
                    sys.stdout.flush()
        finally:
            updater.stopping.set()

    with serving(folder, settings) as server:
        threading.Thread(target=drops, daemon=True).start()
        updater.run()
    web.stop()
    return 0


def settings_in(folder: Path) -> Settings:
    """A frozen network of the class sizes of digits, quick to look; no version is refused."""
    inference, management = free_ports(2)
    overrides = {"network": "resnet8", "weights": str(folder / "weights.safetensors"), "last_relu": True}
    return Settings.model_validate(
        {
            "data": folder / "data",
            "store": (folder / "store").as_uri(),
            "updater": {"settle_seconds": 0, "poll_seconds": 0.5},
            "learning": {"preset": "photo", "overrides": overrides | {"size": SIDE, "resize": SIDE}, "threads": 1},
            "serving": {"engine": "uvicorn", "port": inference, "metrics_port": management, "workers": 1},
            "gate": {"max_old_accuracy_loss": 1.0, "min_new_accuracy": 0.0, "min_class_accuracy": 0.0},
        }
    )


@contextmanager
def serving(folder: Path, settings: Settings) -> Iterator["subprocess.Popen[bytes]"]:
    """The process that answers predictions, and swaps with each version."""
    settings.run_folder.mkdir(parents=True, exist_ok=True)
    own = {
        "LUCIR_DATA": str(settings.data),
        "LUCIR_STORE": settings.store,
        "LUCIR_SERVING__ENGINE": "uvicorn",
        "LUCIR_SERVING__PORT": str(settings.serving.port),
        "LUCIR_SERVING__METRICS_PORT": str(settings.serving.metrics_port),
        "LUCIR_SERVING__WORKERS": "1",
    }
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "handlers.server"], env=os.environ | own, stdout=log, stderr=log
        )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)


def one_update(folder: Path, number: int, objects: ListingStore, client: httpx.Client) -> dict[str, Any]:
    """Drop the folders, wait for the version to be served and the update to be over."""
    objects.calls.clear()
    objects.listed.clear()
    objects.bytes = 0
    spent, started = processor_seconds() + learner()[0], time.monotonic()
    for source in sorted((folder / "drops" / str(number)).iterdir()):
        target = folder / "store" / "incoming" / source.name
        shutil.copytree(source, target, dirs_exist_ok=True)
        (target / "_READY").touch()
    done = folder / "store" / "updates" / f"{number:06d}" / "done.json"
    while not done.exists():
        if time.monotonic() > started + PATIENCE:
            raise TimeoutError(f"update {number} is not over after {PATIENCE:.0f} s")
        time.sleep(0.05)
    seconds, spent = time.monotonic() - started, processor_seconds() + learner()[0] - spent
    calls = {name: count for name, count in objects.calls.items() if not name.startswith("lease")}
    listings = sum(calls.pop(name, 0) for name in LISTINGS)
    listed, moved = dict(objects.listed), objects.bytes
    files = [path.stat().st_size for path in (folder / "store").rglob("*") if path.is_file()]
    return {
        "update": number,
        "result": json.loads(done.read_bytes())["result"],
        "calls": calls,
        "listed": listed,
        "load": round(os.getloadavg()[0], 1),
        "figures": {
            "seconds": round(seconds, 2),
            "processor_seconds": round(spent, 2),
            "listings": listings,
            "entries_listed": sum(listed.values()),
            "other_calls": sum(calls.values()),
            "kib_moved": round(moved / 1024),
            "updater_mib": round(psutil.Process().memory_info().rss / 2**20, 1),
            "learner_mib": round(learner()[1], 1),
            "store_files": len(files),
            "store_mib": round(sum(files) / 2**20, 2),
            "metric_series": sum(not line.startswith("#") for line in client.get("/metrics").text.splitlines()),
            "versions_kib": round(len(client.get("/api/versions").content) / 1024, 1),
            "status_kib": round(len(client.get("/api/status").content) / 1024, 1),
        },
    }


def learner() -> tuple[float, float]:
    """Processor seconds and MiB of the learning processes that live: one stays for the next update."""
    found = [0.0, 0.0]
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if "handlers.updater.training" in " ".join(child.cmdline()):
                spent = child.cpu_times()
                found[0] += spent.user + spent.system
                found[1] += child.memory_info().rss / 2**20
    return found[0], found[1]


def memory(process: "subprocess.Popen[bytes]") -> float:
    """Of the serving process and the one that classifies behind it, in MiB."""
    return round(sum(each.memory_info().rss for each in process_tree(process.pid)) / 2**20, 1)


if __name__ == "__main__":
    sys.exit(main())
