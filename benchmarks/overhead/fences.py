"""What fencing alone costs an update: its calls of the store and its time, counted and timed by name, on one commit.

    python -m benchmarks.overhead.fences --output benchmarks/overhead/fences.json

An updater learns scikit-learn's digits drop by drop, with a network that hardly trains, from a folder and from a real
MinIO. Whatever it does only so that another updater, or a later self, can do no harm is timed where it is called:
leases that are confirmed, epochs in ``attempts.json`` and in the pointer, claims, seals, tags asked for before a write.
The whole of each is counted, also what would be written without any fence (how often a step was begun), so that the
shares are upper bounds. Renewals of the lease run beside the update, in a thread of their own, and are told apart.

Seconds are those of a machine that may be busy. What does not depend on that: processor time, the server's included;
and the calls of the fences at the price of a quiet moment, which is the tenth part of many calls that was quickest.
"""

import argparse
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any
from unittest.mock import patch

import psutil

from benchmarks.overhead.calls import IDLE_THREADS, drop, processor_seconds, settings_in
from benchmarks.result import machine, show
from handlers.settings import Settings
from handlers.store import open_settings_store
from handlers.updater import __main__ as updater_process
from handlers.updater.leader import fenced_store
from handlers.updater.leader.leadership import Leadership
from handlers.updater.workflow.ownership import Ownership
from handlers.updater.workflow.runner import Runner
from model_store.objects import ObjectStore
from model_store.pointer_file import PointerFile
from model_store.publication import Publication
from model_store.versions import VersionStore
from tools.servers.minio_server import minio_server
from tools.servers.server import ACCESS_KEY, REGION, SECRET_KEY, Server

FENCES: tuple[tuple[str, Any, str], ...] = (
    ("lease confirmed before a step", Leadership, "confirm"),
    ("attempts.json: whose the update is", Ownership, "_revise"),
    ("claim of the version's number", Publication, "_take"),
    ("was the claim too late?", Publication, "_check_takeover"),
    ("seal of the version", Publication, "_seal"),
    ("epoch of the pointer at the start", VersionStore, "begin_epoch"),
    ("pointer and its tag", PointerFile, "look"),
    ("tag before a write", fenced_store, "tag_of"),
)
PRICED = ("stat", "read", "write", "replace")
PRICED_KEY, PRICED_CALLS, DOCUMENT = "updates/priced.json", 300, b"{}" * 100
LEASE = "lease renewed (a thread of its own)"


@dataclass(frozen=True)
class Price:
    """Of a call: seconds in a quiet moment, and processor seconds of the server."""

    seconds: float
    server: float


class Spent:
    """By name of a fence: calls of the store, seconds, processor seconds. "" is everything else of an update."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.kinds: Counter[str] = Counter()
        """Calls within fences by what is called: stat, read, replace."""
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.processor: defaultdict[str, float] = defaultdict(float)
        self.updates: list[float] = []
        """Seconds of each."""
        self._here = threading.local()

    @property
    def within(self) -> str:
        """The fence that this thread is in."""
        if threading.current_thread().name == "lease":
            return LEASE
        name: str = getattr(self._here, "name", "")
        return name

    @contextmanager
    def fence(self, name: str) -> Iterator[None]:
        """Time what happens within; the outermost counts."""
        if self.within:
            yield
            return
        self._here.name = name
        began, busy = time.perf_counter(), time.thread_time()
        try:
            yield
        finally:
            self._here.name = ""
            self.seconds[name] += time.perf_counter() - began
            self.processor[name] += time.thread_time() - busy


class CountedStore:
    """A store whose calls are counted for the fence they are made in; those of threads that only look are not."""

    def __init__(self, objects: Any, spent: Spent) -> None:
        self._objects = objects
        self._spent = spent

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._objects, name)
        if not callable(found) or threading.current_thread().name in IDLE_THREADS:
            return found

        def call(*arguments: Any, **options: Any) -> Any:
            within = self._spent.within
            self._spent.calls[within] += 1
            if within not in {"", LEASE}:
                self._spent.kinds[name] += 1
            return found(*arguments, **options)

        return call


def watch(spent: Spent) -> None:
    """Time every fence, and every update, in this process from now on."""

    def within(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def run(*arguments: Any, **options: Any) -> Any:
            with spent.fence(name):
                return function(*arguments, **options)

        return run

    def timed(run: Callable[[Runner], None]) -> Callable[[Runner], None]:
        def update(runner: Runner) -> None:
            began = time.perf_counter()
            run(runner)
            spent.updates.append(time.perf_counter() - began)

        return update

    for name, owner, method in FENCES:
        setattr(owner, method, within(name, getattr(owner, method)))
    Runner.run = timed(Runner.run)  # type: ignore[method-assign, assignment]  # this process only measures


def learn(settings: Settings, spent: Spent) -> None:
    """Learn what is dropped, with an updater of its own, until nothing is left."""

    def counted(settings: Settings) -> Any:
        return CountedStore(open_settings_store(settings), spent)

    with patch.object(updater_process, "open_settings_store", counted):
        updater = updater_process.make_updater(settings, once=True)
    updater._services.wait_served = lambda *_: True  # noqa: SLF001 (no server here)
    updater.run()


def measured(data: Path, server: Server | None, updates: int, spent: Spent) -> dict[str, Any]:
    """What so many updates took, after a first one."""
    settings, bucket = settings_in(data), None
    if server is not None:
        bucket = server.bucket()
        s3 = {"endpoint": server.endpoint, "region": REGION, "access_key": ACCESS_KEY, "secret_key": SECRET_KEY}
        settings = Settings.model_validate(settings.model_dump() | {"store": f"s3://{bucket}", "s3": s3})

    def put(folders: dict[str, tuple[int, int, int]]) -> None:
        drop(data / "store", folders)
        if server is not None and bucket is not None:
            for path in sorted((data / "store").rglob("*"), key=lambda path: path.name == "_READY"):
                if path.is_file():
                    server.admin().fput_object(bucket, str(path.relative_to(data / "store")), str(path))
                    path.unlink()

    put({"zero": (0, 0, 8), "one": (1, 0, 8)})
    learn(settings, spent)
    for found in (spent.calls, spent.kinds, spent.seconds, spent.processor, spent.updates):
        found.clear()
    own = served = 0.0
    for number in range(updates):
        put({f"class {number}": (2 + number % 8, 20 * (number // 8), 20)})
        before, served_before = processor_seconds(), server_seconds()
        learn(settings, spent)
        own, served = own + processor_seconds() - before, served + server_seconds() - served_before
    prices = {name: price(open_settings_store(settings), name) for name in PRICED}
    return summary(spent, updates, own) | quiet(spent, updates, own, served, prices)


def server_seconds() -> float:
    """Processor seconds of the MinIO that this process has started so far; none where it has none."""
    servers = [child for child in psutil.Process().children() if child.name() == "minio"]
    return sum(sum(child.cpu_times()[:2]) for child in servers)


def price(objects: ObjectStore, name: str) -> Price:
    """What a call of a small document costs."""
    tag = objects.write(PRICED_KEY, DOCUMENT).etag
    durations = []
    before = server_seconds()
    for number in range(PRICED_CALLS):
        content = DOCUMENT + b"%d" % number
        began = time.perf_counter()
        if name == "stat":
            objects.stat(PRICED_KEY)
        elif name == "read":
            objects.read(PRICED_KEY)
        elif name == "write":
            objects.write(f"{PRICED_KEY}-{number}", content, only_if_absent=True)
        else:
            tag = objects.replace(PRICED_KEY, content, expected_etag=tag).etag
        durations.append(time.perf_counter() - began)
    return Price(sorted(durations)[PRICED_CALLS // 10], (server_seconds() - before) / PRICED_CALLS)


def quiet(spent: Spent, updates: int, own: float, served: float, prices: dict[str, Price]) -> dict[str, Any]:
    """For one update, what other work on the machine does not change.

    Raises ``RuntimeError`` when fences call what has no price.
    """
    if unknown := spent.kinds.keys() - prices.keys():
        raise RuntimeError(f"fences call {sorted(unknown)}: price them too")
    client = sum(spent.processor[name] for name, _, _ in FENCES)
    server = sum(count * prices[name].server for name, count in spent.kinds.items())
    waited = sum(count * prices[name].seconds for name, count in spent.kinds.items())
    return {
        "calls_of_fences_by_kind": {name: round(count / updates, 1) for name, count in spent.kinds.items()},
        "quiet_milliseconds_of_a_call": {name: round(1000 * one.seconds, 3) for name, one in prices.items()},
        "server_milliseconds_of_a_call": {name: round(1000 * one.server, 3) for name, one in prices.items()},
        "processor_seconds_of_the_server": round(served / updates, 3),
        "share_of_the_processor_seconds_and_the_servers": round((client + server) / (own + served), 4),
        "quiet_milliseconds_of_fences": round(1000 * waited / updates, 1),
        "quiet_share": round(waited / own, 4),
    }


def summary(spent: Spent, updates: int, processor: float) -> dict[str, Any]:
    """For one update, on average."""
    if len(spent.updates) != updates:
        raise RuntimeError(f"{len(spent.updates)} updates ran, not {updates}: something was refused or set aside")
    names = [name for name, _, _ in FENCES]
    whole = sum(spent.updates)
    fences = sum(spent.seconds[name] for name in names)
    return {
        "updates": updates,
        "seconds_of_an_update": round(whole / updates, 3),
        "processor_seconds_of_an_update": round(processor / updates, 3),
        "calls_of_an_update": round(sum(spent.calls.values()) / updates, 1),
        "fences": {
            name: {
                "calls": round(spent.calls[name] / updates, 1),
                "milliseconds": round(1000 * spent.seconds[name] / updates, 2),
                "processor_milliseconds": round(1000 * spent.processor[name] / updates, 2),
            }
            for name in names
        },
        "calls_of_the_lease": round(spent.calls[LEASE] / updates, 1),
        "calls_of_fences": round(sum(spent.calls[name] for name in names) / updates, 1),
        "share_of_the_seconds": round(fences / whole, 4),
        "share_of_the_processor_seconds": round(sum(spent.processor[name] for name in names) / processor, 4),
    }


def main() -> int:
    """Measure both stores."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--updates", type=int, default=6, help="on each store, after a first one")
    parser.add_argument("--output", type=Path, help="where the result is written as JSON")
    options = parser.parse_args()
    spent = Spent()
    watch(spent)
    result: dict[str, Any] = {"command": f"python -m benchmarks.overhead.fences --updates {options.updates}"}
    with tempfile.TemporaryDirectory(prefix="lucir-fences-") as name:
        for store in ("directory", "minio"):
            data = Path(name) / store
            with minio_server(Path(name) / "server") if store == "minio" else nullcontext() as server:
                result[store] = measured(data, server, options.updates, spent)
    show(result | {"machine": machine()}, options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
