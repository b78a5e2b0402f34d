"""TorchServe of one follower, in memory: it lives on when the follower's process ends, and ends when it likes.

Registrations, their workers, which version is the default: as ``handlers.torchserve`` calls for them, and answers.
"""

from collections.abc import Callable

from handlers.inference.workers.slot import Slot, forget_slots
from handlers.settings import Settings
from handlers.sockets import workers_folder
from handlers.torchserve.inference_port import LateError, ProbeError
from handlers.torchserve.management import (
    ManagementError,
    ManagementUnavailableError,
    RegisteredVersion,
    VersionMissingError,
    Worker,
)
from tools.simulation.bucket import Faults
from tools.simulation.invariants import Invariants
from tools.simulation.scheduler import Process, Scheduler
from tools.simulation.workers import LATE, Given, SimulatedWorker, WorkerEndedError

OFTENER = 2.0
"""How much likelier an end is at a call of the engine than at one of the store: there are fewer of them."""
ENDS = ("worker", "worker", "engine", "follower")
"""What may end at a call, by how likely each is."""
START = 1.0
"""Longest that a worker, or the server, takes to begin again."""
UNLOADABLE = 0.05
"""Share of versions that a machine cannot load for a while: its memory is full, say."""
UNLOADABLE_SECONDS = 8.0


class Registration:
    """A version that was registered, and the workers that it began with."""

    def __init__(self) -> None:
        self.target = 0
        self.workers: list[SimulatedWorker] = []


class SimulatedEngine:
    """``invariants`` hear what is answered to everybody; ``crash`` ends the follower's process, maybe what runs."""

    def __init__(
        self,
        settings: Settings,
        scheduler: Scheduler,
        faults: Callable[[], Faults],
        invariants: Invariants,
        crash: Callable[[], None],
    ) -> None:
        self._name = settings.data.name
        self.models, self.random = settings.models_folder, scheduler.random
        self.links = workers_folder(settings)
        self._scheduler, self._faults, self._invariants, self._crash = scheduler, faults, invariants, crash
        self._process = Process("engine")
        self._registered: dict[int, Registration] = {}
        self._default: int | None = None
        self._back_at = 0.0
        self._loadable_at: dict[int, float] = {}
        self._pids = 0

    def close(self) -> None:
        """A client goes: nothing to close."""

    def passes(self, seconds: float) -> None:
        """Some time passes, up to so many seconds; a process may end meanwhile."""
        if seconds:
            self._scheduler.sleep(self.random.random() * seconds)
        if self._goes_wrong():
            ends = self.random.choice(ENDS)
            if ends == "follower":
                self._crash()
            elif ends == "engine":
                self.end()
            elif workers := self._workers():
                self._replace(self.random.choice(workers))

    def end(self) -> None:
        """All of it ends; whoever guards it starts another, which knows no registration."""
        for worker in self._workers():
            worker.end()
        self._registered, self._default = {}, None
        self._back_at = self._scheduler.now + self.random.random() * START
        forget_slots(self.links)

    def hang_up(self) -> None:
        """The follower's process has ended, and with it its lines."""
        for worker in self._workers():
            for line in list(worker.socket.callers if worker.socket else ()):
                line.close()

    def listening(self, pid: int) -> SimulatedWorker | None:
        """The worker whose socket that is."""
        return next((worker for worker in self._workers() if worker.pid == pid), None)

    def cannot_load(self, version: int) -> bool:
        """Whether this machine cannot load that version, so far."""
        if version not in self._loadable_at:
            late = self._faults().crash and self.random.random() < UNLOADABLE
            seconds = self.random.random() * UNLOADABLE_SECONDS if late else 0.0
            self._loadable_at[version] = self._scheduler.now + seconds
        return self._scheduler.now < self._loadable_at[version]

    def versions(self) -> dict[int, RegisteredVersion]:
        """What is registered, and how its workers are. Others have had a turn before: the store was asked."""
        self._call(0.0)
        return {
            number: RegisteredVersion(
                number,
                number == self._default,
                one.target,
                tuple(Worker(worker.pid, worker.ready, False) for worker in one.workers),
                0,
            )
            for number, one in self._registered.items()
        }

    def register(self, folder: str, **_: object) -> None:
        """Without workers. The first one is the default."""
        self._call()
        number = int(folder.rpartition("-")[2])
        self._registered.setdefault(number, Registration())
        self._default = number if self._default is None else self._default

    def scale(self, number: int, workers: int) -> None:
        """So many workers, which begin now."""
        self._call()
        one = self._known(number)
        one.target = workers
        while len(one.workers) < workers:
            self._begin(number)

    def set_default(self, number: int) -> None:
        """Answer everybody with it."""
        self._call()
        self._known(number)
        self._default = number

    def unregister(self, number: int) -> None:
        """Let it go, with its workers; the default only as the last one."""
        self._call()
        if number == self._default and len(self._registered) > 1:
            raise ManagementError(f"the default version {number} cannot be removed")
        one = self._registered.pop(number, None)
        for worker in one.workers if one is not None else ():
            worker.end()
        self._default = None if number == self._default else self._default

    def ask(self, address: int | None) -> int:
        """Which version answers, as ``inference_port.Probe`` does; the answer may come too late."""
        self._call(0.0)
        given = self.answer(address)
        if given is None:
            raise ProbeError("nobody answers")
        if self._goes_wrong():
            raise LateError("the answer does not come in time")
        return given.version

    def answer(self, address: int | None = None) -> Given | None:
        """One request, at the address of a registration or at everybody's; None where it is lost."""
        number, before = address or self._default or 0, self._invariants.answered_last(self._name)
        one = self._registered.get(number)
        ready = [worker for worker in one.workers if worker.ready] if one is not None else []
        if not ready:
            return None
        try:
            given = self.random.choice(ready).answer()
        except WorkerEndedError:
            return None
        except SystemExit as error:
            self._invariants.lost(f"{self._name}: {error.__cause__}")
            return None
        if address is None:
            overtaken = before if self._default != number else None
            self._invariants.answered(self._name, given.version, given.content, overtaken)
        return given

    def everybody(self) -> int | None:
        """The version that everybody is answered with, by every worker that there should be."""
        one = self._registered.get(self._default or 0)
        if one is None or len(one.workers) < max(one.target, 1) or not all(worker.ready for worker in one.workers):
            return None
        return Slot(self.links, self._default or 0).served()

    def answers(self) -> set[int]:
        """What each of those workers answers: at the end, when no time passes."""
        one = self._registered.get(self._default or 0, Registration())
        return {worker.answer().version for worker in one.workers}

    def _goes_wrong(self) -> bool:
        chance = self._faults().crash * OFTENER
        return chance > 0 and self.random.random() < chance

    def _call(self, seconds: float = LATE) -> None:
        self.passes(seconds)
        if self._scheduler.now < self._back_at:
            raise ManagementUnavailableError("the engine is not there")

    def _known(self, number: int) -> Registration:
        if number not in self._registered:
            raise VersionMissingError(f"version {number} is not registered")
        return self._registered[number]

    def _workers(self) -> list[SimulatedWorker]:
        return [worker for one in self._registered.values() for worker in one.workers]

    def _begin(self, number: int) -> None:
        self._pids += 1
        worker = SimulatedWorker(self, number, self._pids)
        self._registered[number].workers.append(worker)

        def start() -> None:
            if not worker.ended and not worker.start() and not worker.ended:
                self._replace(worker)

        self._scheduler.spawn(self._process, start, self.random.random() * START)

    def _replace(self, worker: SimulatedWorker) -> None:
        """It ends, and another begins."""
        worker.end()
        self._registered[worker.number].workers.remove(worker)
        self._begin(worker.number)
