"""The model processes as the server sees them: started, asked, started again when one ends."""

import asyncio
import itertools
import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from handlers.backoff import backoff
from handlers.inference.replies import RawRequest, Reply
from handlers.inference.sessions.copy_choice import CHOICE_FILE
from handlers.server.frames import Classify, Forget, Load, ModelFacts, Result, pack, receive_message

logger = logging.getLogger(__name__)

FIRST_PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 10.0
"""Seconds before a process that ended is started again; doubled with each end that follows soon after its start."""
STEADY_SECONDS: Final = 30.0
"""A process that lived for so long starts with the short pause again."""
MOST_PROCESSES: Final = 4
"""Of those that are started without a setting: each takes memory, whatever machine a container thinks that it has."""
_QUOTA: Final = Path("/sys/fs/cgroup/cpu.max")


class ProcessLostError(RuntimeError):
    """A model process ended, or was ended, before it had answered."""


class LoadError(RuntimeError):
    """A version cannot be loaded; the message says why."""


@dataclass(frozen=True, slots=True)
class PoolRules:
    """How many processes, their environment, and how long any answer may take."""

    processes: int
    environment: Mapping[str, str]
    answer_seconds: float


class PooledProcess:
    """One process. ``folders`` gives what each of them has to have loaded, by version."""

    def __init__(self, rules: PoolRules, folders: Callable[[], Mapping[int, Path]]) -> None:
        self._rules = rules
        self._folders = folders
        self._up = asyncio.Event()
        self._calls: dict[int, asyncio.Future[Any]] = {}
        self._numbers = itertools.count(1)
        self._writer: asyncio.StreamWriter | None = None
        """None while nobody is there to be asked."""
        self._loaded: set[int] = set()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Its process id while it has loaded what it should."""
        return self._process.pid if self._process is not None and self.up else None

    @property
    def up(self) -> bool:
        """Whether it can be asked."""
        return self._up.is_set()

    async def ready(self) -> None:
        """Return when it can be asked."""
        await self._up.wait()

    async def answer(self, version: int, requests: Sequence[RawRequest]) -> list[Reply]:
        """The replies to a batch. Raises ``ProcessLostError``: it ended, or took so long that it was ended."""
        replies: list[Reply]
        try:
            async with asyncio.timeout(self._rules.answer_seconds):
                if version not in self._loaded:  # it was started while the others were loading the version
                    await self._load(version, self._folders()[version])
                replies = await self._call(Classify(next(self._numbers), version, requests))
        except (LoadError, KeyError) as error:
            raise ProcessLostError(f"it has no version {version}") from error
        except TimeoutError:
            logger.critical("a batch has been running for %g s: its process is ended", self._rules.answer_seconds)
            self._up.clear()
            if self._process is not None:
                self._process.kill()
            raise ProcessLostError("it did not answer") from None
        return replies

    async def load(self, version: int, folder: Path) -> ModelFacts:
        """Have it load a version, as soon as it is up. Raises ``LoadError``, ``ProcessLostError``."""
        await self._up.wait()
        return await self._load(version, folder)

    def forget(self, version: int) -> None:
        """Let it drop a version, after what it has been asked before."""
        self._loaded.discard(version)
        if self._writer is not None:
            self._writer.write(pack(Forget(version)))

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
        ours, theirs = socket.socketpair()
        with theirs:
            command = (sys.executable, "-P", "-m", "handlers.server.model_process", str(theirs.fileno()))
            self._process = subprocess.Popen(command, env=dict(self._rules.environment), pass_fds=[theirs.fileno()])
        reader, writer = await asyncio.open_unix_connection(sock=ours)
        self._writer = writer
        self._loaded.clear()
        listening = asyncio.create_task(self._listen(reader))
        try:
            for version, folder in self._folders().items():
                await self._load(version, folder)
            self._up.set()
            await listening
        finally:
            self._up.clear()
            listening.cancel()
            self._writer = None
            writer.close()
            self._process.kill()
            self._process.wait()

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        """Hand out results until the other end is gone; whoever waits then is told so."""
        try:
            while (result := await receive_message(reader)) is not None:
                waiting = self._calls.pop(result.call, None)
                if waiting is not None and not waiting.done():
                    waiting.set_result(result)
        finally:
            self._up.clear()
            self._writer = None
            for waiting in self._calls.values():
                if not waiting.done():
                    waiting.set_exception(ProcessLostError("the process ended"))
            self._calls.clear()

    async def _load(self, version: int, folder: Path) -> ModelFacts:
        facts: ModelFacts = await self._call(Load(next(self._numbers), version, str(folder)))
        self._loaded.add(version)
        return facts

    async def _call(self, message: Classify | Load) -> Any:
        if self._writer is None:
            raise ProcessLostError("the process is not there")
        waiting: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._calls[message.call] = waiting
        self._writer.write(pack(message))
        try:
            result = await waiting
        finally:
            self._calls.pop(message.call, None)
        if result.problem:
            raise LoadError(result.problem)
        return result.value


class ModelPool:
    """All of them. ``folders``: what a process that starts has to load, by version."""

    def __init__(self, rules: PoolRules, folders: Callable[[], Mapping[int, Path]]) -> None:
        self.processes = tuple(PooledProcess(rules, folders) for _ in range(rules.processes))
        self._kept: list[asyncio.Task[None]] = []

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
        """Have every process load a version. Raises ``LoadError``.

        Where no copy of such a network has been chosen here yet, the first one does so alone: the others need not.
        """
        chosen = any(folder.parent.glob(f"*/{CHOICE_FILE}"))
        together = self.processes if chosen else self.processes[1:]
        try:
            first = None if chosen else await self.processes[0].load(version, folder)
            facts = await asyncio.gather(*(process.load(version, folder) for process in together))
        except ProcessLostError as error:
            raise LoadError(f"version {version} was not loaded: {error}") from error
        return first or facts[0]

    def forget(self, version: int) -> None:
        """Let every process drop a version."""
        for process in self.processes:
            process.forget(version)


def usual_processes(*, gpu: bool) -> int:
    """One for each core that this process may use, at most ``MOST_PROCESSES``; two where a graphics card computes."""
    return 2 if gpu else min(MOST_PROCESSES, _cores())


def _cores() -> int:
    """Of the affinity, and no more than what a container's quota of processor time is worth."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = _QUOTA.read_text(encoding="ascii").split()
    except (OSError, ValueError):  # no control group of the second kind
        return cores
    return cores if quota == "max" else max(1, min(cores, round(int(quota) / int(period))))
