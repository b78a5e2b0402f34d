"""One history: who does what to whom, drawn from a seed, until a moment; then everybody is well and it must settle."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from handlers.bucket.edit_requests import BELL
from handlers.settings import Settings
from handlers.torchserve.reconcile import Reconciler, SwapResult
from handlers.updater.context.update import Update
from handlers.updater.errors import LearningError, LeaseLostError
from handlers.updater.service import Updater
from model_store.local_files import is_full
from model_store.objects import StoreError
from model_store.versions import VersionStore
from tools.simulation.bucket import Bucket, Faults, SimulatedStore
from tools.simulation.disk import ROOT
from tools.simulation.drawn import FROZEN, config_of, drawn_faults, drawn_retention, drawn_settings
from tools.simulation.engine import SimulatedEngine
from tools.simulation.invariants import Invariants
from tools.simulation.learning import PURE_STEPS, unsteady
from tools.simulation.person import Person
from tools.simulation.replaced import present
from tools.simulation.scheduler import Process, Scheduler

logger = logging.getLogger(__name__)

TOGETHER = 0.3
"""How often a follower that crashes takes its engine with it."""
MOVES = 0.1
"""How often who crashes begins again on another machine, with an empty disk."""
CHANGED = 0.3
"""How often who begins again has other settings."""
WRONG_CLOCKS, CUTS, FULL_DISKS = 0.3, 0.2, 0.2
"""How often clocks are set, the store cannot be reached by one or by all, and disks are full."""
LONGEST_CALM, LONGEST_TROUBLE, LONGEST_AHEAD = 6.0, 8.0, 90.0
"""Longest between two such events, and that one lasts, in seconds; and by how many a clock is ahead."""
HOPELESS = 0.05
"""Share of drops that learning fails on, whoever tries, until everybody is well."""
ALONE, ALONE_SECONDS = 0.3, 60.0
"""How often what was begun is to end before anything else is dropped, and how long that may take."""
SETTLE_SECONDS = 180.0
"""How long the end may take, of the histories' own time."""


@dataclass(frozen=True)
class Story:
    """What a history is to be. A smaller one of the same seed is another history; shrinking tries them."""

    seed: int
    deeds: int = 6
    updaters: int = 2
    followers: int = 3
    seconds: float = 20.0


class History:
    """Everything of one history. ``run`` gives what was violated, or None."""

    def __init__(self, story: Story, data: Path) -> None:
        self._story = story
        self._data = data
        self.scheduler = Scheduler(f"{story.seed}-{story.deeds}-{story.updaters}-{story.followers}")
        self._random = self.scheduler.random
        self._faults = drawn_faults(self._random)
        self._after = Faults(
            conditional=self._faults.conditional,
            atomic_moves=self._faults.atomic_moves,
            conditional_deletions=self._faults.conditional_deletions,
        )
        self._frozen = self._random.random() < FROZEN
        self._retention = drawn_retention(self._random)
        self._settings: dict[str, Settings] = {}
        """By process: those that it began with."""
        self._first = drawn_settings(self._random, self._retention, frozen=self._frozen)
        self._steps = unsteady(PURE_STEPS, self._may_fail)
        self._hopeless: dict[str, bool] = {}
        """By update: whether nothing can be learnt from it, until everybody is well."""
        self._well = False
        self._processes: list[Process] = []
        self._bucket = Bucket(self.scheduler, folder=self._faults.atomic_moves)
        self.invariants = Invariants(self._bucket)
        self.invariants.forgets = self._retention.archive_days is not None
        self._person = Person(self.scheduler, self._bucket, self.invariants, self._faults, self._retention)
        self._followers: list[Process] = []
        self._engines: dict[str, SimulatedEngine] = {}
        """By follower."""

    def run(self) -> str | None:
        """Live through it."""
        present["scheduler"] = self.scheduler
        updaters = self._story.updaters if self._faults.conditional else 1
        self._processes = [Process(f"updater-{number}") for number in range(updaters)]
        for process in self._processes:
            self._start_updater(process)
        present["engines"] = self._engines
        for number in range(self._story.followers):
            process = Process(f"follower-{number}")
            self._followers.append(process)
            self._engines[process.name] = self._engine(process)
            self._start_follower(process)
        if self._engines:
            self.scheduler.spawn(Process("client"), self._ask_now_and_then)
        person = self._person
        self.scheduler.spawn(person.process, lambda: person.live(self._story.deeds, self._story.seconds))
        chances = {self._set_clock: WRONG_CLOCKS, self._cut_off: CUTS, self._fill_disk: FULL_DISKS}
        if troubles := [trouble for trouble, chance in chances.items() if self._random.random() < chance]:
            self.scheduler.spawn(Process("trouble"), lambda: self._trouble(troubles))
        end = self.scheduler.now + self._story.seconds
        self.scheduler.run(end, lambda: self.invariants.broken is None and not (person.done and self._is_quiet()))
        self._well = True
        if self._random.random() < ALONE and (undone := self._end_alone()):
            return f"nobody goes on where nothing is dropped: {undone}"
        end = self.scheduler.now
        person.drop(2, broken=0.0)  # a first class waits for a second one
        self.scheduler.spawn(Process("tidy person"), person.tidy)
        self.scheduler.run(end + SETTLE_SECONDS, lambda: self.invariants.broken is None and not self._is_quiet())
        if self.invariants.broken is None:
            self.invariants.at_the_end({name: engine.answers() for name, engine in self._engines.items()})
        if self.invariants.broken is None and self._person.copied is not None:
            self._go_on_with(self._person.copy, self._person.copied)
        return self.invariants.broken

    def _end_alone(self) -> list[str]:
        """Give what was begun time to end, whether anything is dropped or not; what has not."""
        end = self.scheduler.now + ALONE_SECONDS
        self.scheduler.run(end, lambda: self.invariants.broken is None and any(self._undone()))
        return list(self._undone()) if self.invariants.broken is None else []

    def _undone(self) -> Iterator[str]:
        """What needs no drop to come to its end: requests, updates, and followers of a version."""
        yield from (key for key in self._bucket.keys("requests/") if key != BELL)
        yield from (name for name, engine in self._engines.items() if engine.everybody() != self.invariants.wanted)
        yield from self.invariants.unended()

    def _go_on_with(self, copy: Bucket, wanted: set[str]) -> None:
        """What was backed up is a whole service, whatever went on meanwhile."""
        self.scheduler.end()
        before, self._bucket, self.invariants = self.invariants, copy, Invariants(copy)
        self.invariants.take_over(before, wanted)
        made = self._person.images
        self._person = Person(self.scheduler, copy, self.invariants, self._after, self._retention, made)
        self._person.drop(2, broken=0.0)
        self.scheduler.spawn(Process("tidy person"), self._person.tidy)
        self._processes, self._engines = [Process("restored")], {}
        self._start_updater(self._processes[0])
        end = self.scheduler.now + SETTLE_SECONDS
        self.scheduler.run(end, lambda: self.invariants.broken is None and not self._is_quiet())
        if self.invariants.broken is None:
            self.invariants.at_the_end({})

    def _settings_of(self, process: Process) -> Settings:
        return self._settings.get(process.name, self._first).model_copy(update={"data": self._data / process.name})

    def _change(self, process: Process, engine: SimulatedEngine | None) -> None:
        """It begins again, perhaps on another machine, perhaps with other settings; an engine has them when it ends."""
        moves, changed = self._random.random() < MOVES, self._random.random() < CHANGED
        if engine is not None:
            engine.hang_up()
            if not moves and self._random.random() >= TOGETHER:
                return
            engine.end()
        if moves:
            folder = str(self._data / process.name)
            self.scheduler.spawn(process, lambda: present["disk"].rmtree(folder, ignore_errors=True))
        if changed:
            self._settings[process.name] = drawn_settings(self._random, self._retention, frozen=self._frozen)

    def _trouble(self, troubles: Sequence[Callable[[], None]]) -> None:
        """One after the other, until everybody is well."""
        while True:
            self.scheduler.sleep(self._random.uniform(0, LONGEST_CALM))
            if self._well:
                return
            self._random.choice(troubles)()

    def _set_clock(self) -> None:
        """Never right."""
        self._anybody().ahead = self._random.uniform(-LONGEST_AHEAD, LONGEST_AHEAD)

    def _cut_off(self) -> None:
        self._anybody().away_until = self.scheduler.now + self._random.uniform(0, LONGEST_TROUBLE)

    def _fill_disk(self) -> None:
        folder = str(self._data / self._random.choice([*self._engines, *(one.name for one in self._processes)]))
        present["disk"].full_until[folder] = self.scheduler.now + self._random.uniform(0, LONGEST_TROUBLE)

    def _anybody(self) -> Bucket | Process:
        return self._random.choice([self._bucket, self._person.process, *self._processes, *self._followers])

    def _may_fail(self, update: Update) -> None:
        if update.id not in self._hopeless:
            self._hopeless[update.id] = self._random.random() < HOPELESS
        if self._hopeless[update.id] and not self._well:
            raise LearningError("nobody knows why")

    def _store(self, process: Process) -> SimulatedStore:
        return SimulatedStore(self._bucket, self.scheduler, process, self._effective, self._interrupt)

    def _effective(self) -> Faults:
        return self._after if self._well else self._faults

    def _interrupt(self, process: Process, event: str) -> None:
        """The process crashes here, or sleeps."""
        if event.startswith("crash"):
            self._crash(process)
        seconds = self._random.uniform(0.5, 15)
        process.paused_until = self.scheduler.now + seconds
        process.drift += seconds if self._faults.frozen_clock else 0.0
        self.scheduler.sleep(0)

    def _crash(self, process: Process) -> None:
        restart = self._start_follower if process.name in self._engines else self._start_updater
        # The new tasks are spawned after those that run have been ended.
        tasks, process.tasks = process.tasks, []
        self._change(process, self._engines.get(process.name))
        restart(process, self._random.uniform(0.1, 5))
        new, process.tasks = process.tasks, tasks
        self.scheduler.end_and_keep(process, new)

    def _start_follower(self, process: Process, delay: float = 0.0) -> None:
        self.scheduler.spawn(process, lambda: self._follow(process), delay)

    def _start_updater(self, process: Process, delay: float = 0.0) -> None:
        process.incarnation += 1
        present["process"] = process
        store = self._store(process)
        settings = self._settings_of(process)
        updater = Updater(settings, config_of(self._frozen), store, self._steps)  # type: ignore[arg-type]  # a store by its calls
        self.scheduler.spawn(process, lambda: self._tend(updater), delay)
        self.scheduler.spawn(process, lambda: self._update(updater), delay)

    def _tend(self, updater: Updater) -> None:
        lease = updater._leadership.lease  # type: ignore[attr-defined]  # noqa: SLF001 (ours: replaced.py)
        while True:
            try:
                lease.tend()
            except StoreError:
                self.scheduler.sleep(0.1)
            # Not oftener than it matters: the holder may miss one renewal, a standby waits for a lease anyway.
            self.scheduler.sleep(lease.look_seconds * (5 if lease.active else 2))

    def _update(self, updater: Updater) -> None:
        """The main loop of ``Updater.run`` without its threads."""
        while True:
            try:
                updater._watcher.look()  # noqa: SLF001 (the watcher's thread does that)
                updater._once()  # noqa: SLF001
            except LeaseLostError as error:
                updater._stand_by(error)  # noqa: SLF001
            except Exception as error:  # noqa: BLE001 (as there)
                self.invariants.failed(error)
                updater._report(error)  # noqa: SLF001
            self.scheduler.sleep(self._random.uniform(0.3, 1.5))

    def _follow(self, process: Process) -> None:
        versions = VersionStore(self._store(process))
        settings = self._settings_of(process)

        def swapped(result: SwapResult) -> None:
            if result.result == "failure":
                self.invariants.takes_back(process.name, result.version, result.previous)
            else:
                self.invariants.confirmed(process.name)

        reconciler = Reconciler(settings, versions, on_swap=swapped, clock=lambda: self.scheduler.now)
        while True:
            try:
                with suppress(StoreError):
                    reconciler.step()
            except OSError as error:
                if not is_full(error):
                    raise
            self.scheduler.sleep(self._random.uniform(0.3, 3.0))

    def _engine(self, process: Process) -> SimulatedEngine:
        return SimulatedEngine(
            self._settings_of(process),
            self.scheduler,
            self._effective,
            self.invariants,
            lambda: self._crash(process),
        )

    def _ask_now_and_then(self) -> None:
        """A client, of one follower after the other: what it asks takes time, in which much may change."""
        engines = list(self._engines.values())
        while True:
            self.scheduler.sleep(self._random.uniform(0.3, 2.5))
            self._random.choice(engines).answer()

    def _is_quiet(self) -> bool:
        """Nothing is left to be done, and nobody sleeps who may do it all the same: looked at now and then."""
        if (
            self.scheduler.turns % 10
            or self._person.copying
            or any(one.paused_until > self.scheduler.now for one in self._processes)
        ):
            return False
        wanted = self.invariants.wanted
        return self.invariants.is_settled() and all(one.everybody() == wanted for one in self._engines.values())


def live(story: Story) -> str | None:
    """Run a history; what was violated, or None."""
    present["disk"].clear()
    history = History(story, Path(ROOT))
    try:
        return history.run()
    except Exception as error:
        logger.exception("nobody expected this")
        return f"nobody expected this: {error!r}"
    finally:
        history.scheduler.end()
