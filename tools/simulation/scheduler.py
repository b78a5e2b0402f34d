"""Tasks that take turns where they would wait for a store, in an order that one random generator draws.

Product code is synchronous, so each task is a greenlet: it runs until it calls the store or sleeps, and nothing else
runs meanwhile. Time is a number that the scheduler moves. The same seed gives the same history.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from greenlet import getcurrent, greenlet


class Crash(BaseException):
    """The process of this task ends here, without any goodbye."""


@dataclass(eq=False)
class Process:
    """What crashes and pauses together.

    ``drift``: seconds by which its clock that counts its sleep lags behind; ``ahead``: by which its clock on the wall,
    which somebody sets, is ahead of everybody's; ``away_until``: when it reaches the store again.
    """

    name: str
    tasks: list["Task"] = field(default_factory=list)
    paused_until: float = 0.0
    drift: float = 0.0
    ahead: float = 0.0
    away_until: float = 0.0
    incarnation: int = 0


@dataclass(eq=False)
class Task:
    """A thread of a process."""

    process: Process
    greenlet: greenlet
    wake_at: float = 0.0


class Scheduler:
    """Runs tasks until a moment; ``now`` is the time in seconds."""

    def __init__(self, seed: str) -> None:
        self.random = random.Random(seed)
        self.names = random.Random(f"names of {seed}")
        """For what must be another each time: drawn beside, so that it moves nothing else."""
        self.now = 1_000.0
        self.turns = 0
        self._tasks: list[Task] = []
        self._hub = getcurrent()
        self._running: Task | None = None
        self._until = 0.0
        self._watch: Callable[[], bool] = lambda: False
        self._next_at = 0.0
        """When another task than the one that runs may be due; until then a sleep ends where it began."""

    def spawn(self, process: Process, function: Callable[[], None], delay: float = 0.0) -> None:
        """Begin a task."""
        task = Task(process, greenlet(_until_crash(function), self._hub), self.now + delay)
        process.tasks.append(task)
        self._tasks.append(task)
        self._next_at = 0.0

    def current(self) -> Task | None:
        """The task that runs; None where none does."""
        return self._running

    @property
    def wall(self) -> float:
        """The time on the wall of the process that runs, in seconds."""
        return self.now + (self._running.process.ahead if self._running is not None else 0.0)

    def sleep(self, seconds: float) -> None:
        """Let others run, for so long at least."""
        task = self._running
        if task is None:
            return
        task.wake_at = self.now + seconds
        if task.process.paused_until <= task.wake_at < self._next_at and self.now < self._until and self._watch():
            self.turns += 1
            self.now = task.wake_at
            return  # nobody else would have had a turn
        self._hub.switch()

    def end_and_keep(self, process: Process, new: list[Task]) -> None:
        """Let a process crash, all but its ``new`` tasks. Where one of its own tasks runs, that ends here."""
        running, old = self._running, process.tasks
        process.tasks, process.paused_until = new, 0.0
        self._running = None
        for task in old:
            self._tasks.remove(task)
            if task is not running and task.greenlet:  # begun, and not ended
                task.greenlet.parent = getcurrent()
                task.greenlet.throw(Crash)
        if running in old:
            raise Crash
        self._running = running

    def end(self) -> None:
        """Let everybody crash: nothing of this history wakes up in another, when its memory is collected."""
        self._running = None
        for task in self._tasks:
            if task.greenlet:
                task.greenlet.parent = getcurrent()
                task.greenlet.throw(Crash)
        self._tasks.clear()

    def run(self, until: float, watch: Callable[[], bool]) -> None:
        """Give turns until that time, or until ``watch`` says that it is enough."""
        self._until, self._watch = until, watch
        while self.now < until and watch():
            due = self._due()
            if not due:
                return
            task = due[0] if len(due) == 1 else self.random.choice(due)
            self.turns += 1
            self._running = task
            task.greenlet.switch()
            self._running = None
            if task.greenlet.dead and task in self._tasks:
                self._tasks.remove(task)
                task.process.tasks.remove(task)

    def _due(self) -> list[Task]:
        """Who may run now, after the time has moved on to the first who may; nobody where no task is left."""
        due: list[Task] = []
        first = second = float("inf")
        now = self.now
        for task in self._tasks:
            at, awake = task.wake_at, task.process.paused_until
            if at < awake:
                at = awake
            if at < now:
                at = now
            if at < first:
                first, second, due = at, first, [task]
            elif at == first:
                due.append(task)
            elif at < second:
                second = at
        if due:
            self.now = first
        self._next_at = second if len(due) == 1 else first
        return due


class Lock:
    """A lock between tasks: a task that waits for it lets others run."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._held = False

    def __enter__(self) -> None:
        while self._held:
            self._scheduler.sleep(0.01)
        self._held = True

    def __exit__(self, *_: object) -> None:
        self._held = False


def _until_crash(function: Callable[[], None]) -> Callable[[], None]:
    def run() -> None:
        try:
            function()
        except Crash:
            return

    return run
