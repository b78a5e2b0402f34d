"""The model processes as the server sees them: started, asked, started again when one ends."""

import asyncio
import itertools
import logging
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from handlers.backoff import backoff
from handlers.inference.replies import RawRequest, Reply
from handlers.inference.sessions.copy_choice import CHOICE_FILE
from handlers.inference.workers.worker_calls import Again, Classify, Forget, Load, ModelFacts, Result, pack
from handlers.parallel import usable_cores
from handlers.server.frames import Messages
from handlers.torchserve.attempts import STARTUP_SECONDS

logger = logging.getLogger(__name__)

FIRST_PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 10.0
"""Seconds before a process that ended is started again; doubled with each end that follows soon after its start."""
STEADY_SECONDS: Final = 30.0
"""A process that lived for so long starts with the short pause again."""
MOST_PROCESSES: Final = 4
"""Of those that are started without a setting: each takes memory, whatever machine a container thinks that it has."""


class ProcessLostError(RuntimeError):
    """A model process ended, or was ended, before it had answered."""


class LoadError(RuntimeError):
    """A version cannot be loaded; the message says why."""


@dataclass(frozen=True, slots=True)
class PoolRules:
    """How many processes, their environment, how long any answer may take, and any start or load.

    ``gpu``: whether a graphics card computes.
    """

    processes: int
    environment: Mapping[str, str]
    answer_seconds: float
    start_seconds: float = STARTUP_SECONDS
    gpu: bool = False


@dataclass(frozen=True, slots=True)
class Started:
    """A model process that nobody has asked anything yet, and this end of its socket. It ends with the socket."""

    process: subprocess.Popen[bytes]
    connection: socket.socket

    @classmethod
    def new(cls, environment: Mapping[str, str]) -> Self:
        """Start one. Raises ``OSError``."""
        ours, theirs = socket.socketpair()
        with theirs:
            command = (sys.executable, "-P", "-m", "handlers.server.model_process", str(theirs.fileno()))
            return cls(subprocess.Popen(command, env=dict(environment), pass_fds=[theirs.fileno()]), ours)


class PooledProcess:
    """One process. ``folders`` gives what each of them has to have loaded, by version; ``first``: the process itself,
    where it has been started already.
    """

    def __init__(
        self, rules: PoolRules, folders: Callable[[], Mapping[int, Path]], first: Started | None = None
    ) -> None:
        self._rules = rules
        self._folders = folders
        self._first = first
        self._up = asyncio.Event()
        self._awake = asyncio.Event()
        self._awake.set()
        self._calls: dict[int, asyncio.Future[Any]] = {}
        self._numbers = itertools.count(1)
        self._transport: asyncio.WriteTransport | None = None
        """None while nobody is there to be asked."""
        self._loaded: set[int] = set()
        self._process: subprocess.Popen[bytes] | None = None
        self._batch: asyncio.Future[list[Reply]] | None = None
        """What it was asked last."""
        self._due = 0.0
        """When that has to be answered, on the event loop's clock."""
        self._watch: asyncio.TimerHandle | None = None

    @property
    def pid(self) -> int | None:
        """Its process id while it has loaded what it should."""
        return self._process.pid if self._process is not None and self._up.is_set() else None

    @property
    def serves(self) -> bool:
        """Whether it can be asked, and has a version to answer with."""
        return self.up and bool(self._loaded)

    @property
    def up(self) -> bool:
        """Whether it can be asked: it is there, and does not rest."""
        return self._up.is_set() and self._awake.is_set()

    async def ready(self) -> None:
        """Return when it can be asked."""
        while not self.up:
            await self._up.wait()
            await self._awake.wait()

    @contextmanager
    def rest(self) -> Iterator[None]:
        """Meanwhile it is not given requests, but for those that it has."""
        self._awake.clear()
        try:
            yield
        finally:
            self._awake.set()

    def answer(self, version: int, requests: Sequence[RawRequest]) -> asyncio.Future[list[Reply]]:
        """The replies to a batch. Raises ``ProcessLostError``: it ended, or took so long that it was ended."""
        return self._answers(version, lambda: Classify(next(self._numbers), version, requests))

    def answer_again(self, version: int, requests: Sequence[RawRequest]) -> asyncio.Future[list[Reply]]:
        """The replies of another version to the batch before, which are these requests: what both do alike is not done
        again. Raises as ``answer``.
        """
        if version not in self._loaded:  # it did not know that it would be asked for it, and has let the batch go
            return self.answer(version, requests)
        return self._answers(version, lambda: Again(next(self._numbers), version, len(requests)))

    def _answers(self, version: int, call: Callable[[], Classify | Again]) -> asyncio.Future[list[Reply]]:
        if version not in self._loaded:  # it was started while the others were loading the version
            return asyncio.ensure_future(self._load_and_answer(version, call))
        batch = self._batch = self._call(call())
        loop = asyncio.get_running_loop()
        self._due = loop.time() + self._rules.answer_seconds
        if self._watch is None:
            self._watch = loop.call_at(self._due, self._look)
        return batch

    async def load(self, version: int, folder: Path) -> ModelFacts:
        """Have it load a version, as soon as it is up. Raises ``LoadError``, ``ProcessLostError``."""
        limit = self._rules.start_seconds
        try:
            async with asyncio.timeout(limit):
                await self._up.wait()
        except TimeoutError:
            raise LoadError(f"a model process has not come up within {limit:g} s: the server's log says why") from None
        return await self._load(version, folder)

    def forget(self, version: int) -> None:
        """Let it drop a version, after what it has been asked before."""
        self._loaded.discard(version)
        if self._transport is not None:
            self._transport.write(pack(Forget(version)))

    async def keep(self) -> None:
        """Run it, and run it again whenever it ends, until this is cancelled."""
        failures = 0
        while True:
            started = time.monotonic()
            try:
                await self._live()
            except (LoadError, ProcessLostError, OSError) as error:
                logger.warning("a model process cannot do its work: %s", error)
            failures = 1 if time.monotonic() > started + STEADY_SECONDS else failures + 1
            pause = backoff(failures, FIRST_PAUSE, LONGEST_PAUSE)
            logger.warning("a model process has ended: started again in %.1f s", pause)
            await asyncio.sleep(pause)

    async def _live(self) -> None:
        started, self._first = self._first or Started.new(self._rules.environment), None
        self._process = started.process
        loop = asyncio.get_running_loop()
        gone = asyncio.Event()

        def lost() -> None:
            self._lost()
            gone.set()

        transport, _ = await loop.create_unix_connection(
            lambda: Messages(self._received, lost), sock=started.connection
        )
        self._transport = transport
        self._loaded.clear()
        try:
            for version, folder in self._folders().items():
                await self._load(version, folder)
            self._up.set()
            await gone.wait()
        finally:
            self._lost()
            transport.close()
            self._process.kill()
            self._process.wait()

    def _received(self, result: Result) -> None:
        """Hand out a result."""
        waiting = self._calls.pop(result.call, None)
        if waiting is None or waiting.done():
            return
        if result.problem:
            waiting.set_exception(LoadError(result.problem))
        else:
            waiting.set_result(result.value)

    def _lost(self) -> None:
        """Nobody is there to be asked any more: tell whoever waits."""
        self._up.clear()
        self._transport = None
        for waiting in self._calls.values():
            if not waiting.done():
                waiting.set_exception(ProcessLostError("the process ended"))
        self._calls.clear()

    def _look(self) -> None:
        """Whether what it was asked last is answered: if not, and it is time, it is ended."""
        self._watch = None
        if self._batch is None or self._batch.done():
            return
        loop = asyncio.get_running_loop()
        if loop.time() < self._due:
            self._watch = loop.call_at(self._due, self._look)
            return
        logger.critical("a batch has been running for %g s: its process is ended", self._rules.answer_seconds)
        self._lost()
        if self._process is not None:
            self._process.kill()

    async def _load(self, version: int, folder: Path) -> ModelFacts:
        call = Load(next(self._numbers), version, str(folder))
        try:
            async with asyncio.timeout(self._rules.start_seconds):
                facts: ModelFacts = await self._call(call)
        except TimeoutError:
            raise LoadError(f"version {version} was not loaded within {self._rules.start_seconds:g} s") from None
        self._loaded.add(version)
        return facts

    async def _load_and_answer(self, version: int, call: Callable[[], Classify | Again]) -> list[Reply]:
        try:
            await self._load(version, self._folders()[version])
        except (LoadError, KeyError) as error:
            raise ProcessLostError(f"it has no version {version}") from error
        return await self._answers(version, call)

    def _call(self, message: Classify | Again | Load) -> asyncio.Future[Any]:
        """Its answer, as soon as it comes. Raises ``ProcessLostError``, ``LoadError``."""
        waiting: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if self._transport is None:
            waiting.set_exception(ProcessLostError("the process is not there"))
        else:
            self._calls[message.call] = waiting
            self._transport.write(pack(message))
        return waiting


class ModelPool:
    """All of them. ``folders``: what a process that starts has to load, by version; ``first``: the first ones of all
    that are started already.
    """

    def __init__(
        self, rules: PoolRules, folders: Callable[[], Mapping[int, Path]], first: Sequence[Started] = ()
    ) -> None:
        pairs = itertools.zip_longest(range(rules.processes), first)
        self.processes = tuple(PooledProcess(rules, folders, each) for _, each in pairs)
        self._kept: list[asyncio.Task[None]] = []

    def pids(self) -> list[int]:
        """Of the processes that can be asked."""
        return [process.pid for process in self.processes if process.pid is not None]

    def start(self) -> None:
        """Start every process, for the running event loop."""
        self._kept = [asyncio.create_task(process.keep()) for process in self.processes]

    async def stop(self) -> None:
        """End every process."""
        for task in self._kept:
            task.cancel()
        for task in self._kept:
            with suppress(asyncio.CancelledError):
                await task

    async def load(self, version: int, folder: Path) -> ModelFacts:
        """Have every process load a version, beside what it answers. Raises ``LoadError``.

        Where no copy of such a network has been chosen here yet, the first one does so alone, and rests meanwhile if
        another answers: what it measures is not disturbed, and the others need not measure.
        """
        first, *others = self.processes
        chosen = any(folder.parent.glob(f"*/{CHOICE_FILE}"))
        try:
            if chosen:
                facts, *_ = await asyncio.gather(*(process.load(version, folder) for process in self.processes))
                return facts
            with first.rest() if any(process.serves for process in others) else nullcontext():
                facts = await first.load(version, folder)
            await asyncio.gather(*(process.load(version, folder) for process in others))
        except ProcessLostError as error:
            raise LoadError(f"version {version} was not loaded: {error}") from error
        return facts

    def forget(self, version: int) -> None:
        """Let every process drop a version."""
        for process in self.processes:
            process.forget(version)


def usual_processes(*, gpu: bool) -> int:
    """One for each core that this process may use, at most ``MOST_PROCESSES``; two where a graphics card computes."""
    return 2 if gpu else min(MOST_PROCESSES, usable_cores())
