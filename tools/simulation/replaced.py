"""What of the product cannot be as it is in a history: clocks, random names, threads, the child, the server.

Put in place once. With clocks and random names in it, a history is its seed's whole: the same calls and documents.
"""

import os
import secrets
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from handlers import classifier
from handlers.inference.workers import held_versions
from handlers.parallel import ordered_map
from handlers.torchserve import reconcile
from handlers.torchserve.in_place import exchange
from handlers.updater import service
from handlers.updater.context.troubled import Troubled
from handlers.updater.context.update import Update
from handlers.updater.intake import plan
from handlers.updater.intake.second_look import SecondLook
from handlers.updater.leader import lease
from handlers.updater.leader.leadership import last_epoch
from handlers.updater.leader.lease import Lease, LeaseState
from handlers.updater.workflow import relearn_steps
from model_store import manifest
from model_store.objects import ObjectStore
from tools.simulation.disk import ROOT, TEMPORARY, Disk, mount
from tools.simulation.engine import SimulatedEngine
from tools.simulation.learning import PURE_EDIT_STEPS, PURE_RELEARN_STEPS, NoChild
from tools.simulation.remembered import remember
from tools.simulation.scheduler import Lock, Process, Scheduler
from tools.simulation.workers import LATE, Held, Line, Model, Socket

present: dict[str, Any] = {}
"""Of the history that runs: its scheduler, the process whose parts are being made, its followers' engines by their
names, and the disk of all of them."""


class Clock:
    """The module ``time``, of the scheduler."""

    def monotonic(self) -> float:
        """Seconds."""
        return _scheduler().now

    def time(self) -> float:
        """Seconds, too, on the wall of whoever asks."""
        return _scheduler().wall

    def time_ns(self) -> int:
        """Nanoseconds."""
        return int(_scheduler().wall * 1e9)

    def __getattr__(self, name: str) -> Any:
        """What is not asked in a history."""
        return getattr(time, name)


class Nothing:
    """Metrics that nobody reads: whatever is asked of it is nothing again."""

    def __init__(self, *_: object) -> None:
        """As what it stands for is made."""

    def __getattr__(self, _: str) -> "Nothing":
        return self

    def __call__(self, *_: object, **__: object) -> "Nothing":
        """Nothing happens."""
        return self


class NoServer:
    """Where an updater has the loop that keeps its server up to date: every version counts as served."""

    def __init__(self, *_: object) -> None:
        self.expect_provisional = Nothing()

    def wait_served(self, *_: object) -> bool:
        """At once."""
        return True


class NotDecoded:
    """Where an update keeps the images that it has decoded: nobody learns from them here."""

    def __init__(self, *_: object) -> None:
        """As what it stands for is made."""

    def add(self, *_: object) -> None:
        """Not kept."""

    def close(self) -> None:
        """Nothing to write."""


class SimulatedLeadership:
    """``leader.leadership`` without its thread: a task of the process tends the lease."""

    def __init__(self, settings: Any, objects: ObjectStore, *_: object) -> None:
        process: Process = present["process"]
        scheduler = _scheduler()
        self.lease = Lease(
            objects,
            settings.updater.lease_seconds,
            process.name,
            f"{process.name}, {process.incarnation}",
            lowest_term=lambda: last_epoch(objects),
            watch_clock=lambda: scheduler.now,
            hold_clock=lambda: scheduler.now - process.drift,
        )
        self.hold, self.confirm = self.lease.hold, self.lease.confirm

    @property
    def active(self) -> bool:
        """As the product's."""
        return self.lease.active

    @property
    def epoch(self) -> int | None:
        """As the product's."""
        return self.lease.epoch

    @property
    def state(self) -> LeaseState:
        """As the product's."""
        return self.lease.state

    def wait_active(self, _: float) -> bool:
        """Without waiting."""
        return self.lease.active


def engine_of(path: Path) -> SimulatedEngine:
    """That of the follower in whose data folder something lies."""
    engine: SimulatedEngine = present["engines"][str(path)[len(ROOT) + 1 :].partition("/")[0]]
    return engine


def _scheduler() -> Scheduler:
    scheduler: Scheduler = present["scheduler"]
    return scheduler


def _now() -> datetime:
    return datetime.fromtimestamp(_scheduler().wall, UTC)


def _random_bytes(count: int) -> bytes:
    """Of names that nobody else may choose: nonces, attempts, requests, temporary files."""
    return _scheduler().names.randbytes(count)


def _one_by_one(function: Callable[[Any], Any], items: Iterable[Any], workers: int | None = None) -> Iterator[Any]:
    del workers
    return map(function, items)


def _untimed(*_: object) -> None:
    """Nobody reads how long the steps took, which is no time."""


def _replace_everywhere() -> None:
    """In every module of the product that is loaded."""
    clock: Any = Clock()
    originals: dict[str, tuple[object, object]] = {
        "time": (time, clock),
        "now": (manifest.now, _now),
        "ordered_map": (ordered_map, _one_by_one),
    }
    for module in [one for name, one in sys.modules.items() if name.startswith(("handlers.", "model_store."))]:
        for name, (original, replacement) in originals.items():
            if getattr(module, name, None) is original:
                setattr(module, name, replacement)
    for kind in (SecondLook, Troubled):  # they have bound it as a default
        setattr(service, kind.__name__, partial(kind, clock=clock.monotonic))


def install() -> None:
    """Replace them, in this process and for good: what each ``type: ignore`` here is about."""
    _replace_everywhere()
    os.urandom = secrets.token_bytes = _random_bytes  # type: ignore[assignment]  # each is always told how many
    present["disk"] = Disk(lambda: _scheduler().now)
    mount(present["disk"])
    tempfile.tempdir = TEMPORARY
    remember()
    Update.add_timing = _untimed  # type: ignore[method-assign]
    changes: dict[str, Any] = {
        "Leadership": SimulatedLeadership,
        "ServingLoop": NoServer,
        "Metrics": Nothing,
        "MachineCollector": Nothing,
        "Child": NoChild,
        "EDIT_STEPS": PURE_EDIT_STEPS,
        "RELEARN_STEPS": PURE_RELEARN_STEPS,
        "IDLE_SECONDS": 0.0,
    }
    for name, value in changes.items():
        setattr(service, name, value)
    plan.DecodedWriter = NotDecoded  # type: ignore[assignment,misc]
    reconcile.prepare_version_folder = lambda folder: (folder / "MAR-INF").mkdir()  # type: ignore[assignment]
    relearn_steps.check_refinable = lambda *_: None  # type: ignore[assignment]  # two images are enough here
    lease.Lock = lambda: Lock(_scheduler())  # type: ignore[assignment,misc]
    _install_engine()


def _install_engine() -> None:
    """Where a follower reaches TorchServe, and TorchServe's workers reach the system."""
    reconcile.ManagementClient = engine_of  # type: ignore[assignment,misc]
    reconcile.Probe = lambda settings: engine_of(settings.data)  # type: ignore[assignment,misc]
    reconcile.check_canary = lambda *_: None  # type: ignore[assignment]
    exchange.check_canary = lambda line, version, *_: line.classify(version, b"")  # type: ignore[assignment]
    exchange.WorkerLine = lambda path: Line(engine_of(path), int(path.name))  # type: ignore[assignment,misc]
    classifier.HeldVersions = Held  # type: ignore[misc]
    classifier.WorkerSocket = Socket  # type: ignore[assignment,misc]
    classifier.logging = Nothing()  # type: ignore[assignment]  # levels, which are the process's
    classifier.keep_repeated_fields = lambda: None  # type: ignore[assignment]  # there is no TorchServe to change
    classifier.read_large_pieces = lambda: None  # type: ignore[assignment]  # nor here
    held_versions.VersionModel = Model  # type: ignore[assignment,misc]
    held_versions.give_back_memory = lambda: None  # type: ignore[assignment]
    present["disk"].linked = lambda path: engine_of(path).passes(LATE)
