"""A version brought up inside the workers that answer already, without another worker, Python or registration.

1. every worker loads it beside the version that it answers with, and says so, or why it cannot;
2. every worker is asked for the held-out images (``canary``) by the new version, which nobody else is answered with;
3. the link of their slot is replaced (``handlers.inference.workers.slot``): all of them change at that moment, each
   between two batches, and a batch that ran meanwhile runs again.

Until 3 nothing has changed: whoever ends or refuses before leaves the old version answering. A worker that starts later
reads the link first. The lines live as long as an exchange: when they end, the workers drop what is not served.
"""

import logging
from collections.abc import Collection
from pathlib import Path
from typing import Final, Literal

from handlers.inference.workers.slot import Slot, socket_of
from handlers.settings import Settings
from handlers.sockets import workers_folder
from handlers.torchserve.canary import check_canary
from handlers.torchserve.folders import NOTHING_LEARNT, folder_name
from handlers.torchserve.in_place.worker_line import LineLostError, WorkerLine, wait_all
from handlers.torchserve.management import RegisteredVersion

logger = logging.getLogger(__name__)

Progress = Literal["loading", "lost", "done"]
WAIT_SECONDS: Final = 1.0
"""Longest that one step waits for the workers."""


class CannotLoadError(RuntimeError):
    """A worker says that it cannot load the version, and why."""


class Exchange:
    """Use it from one thread. Only TorchServe's workers can be asked; ``possible`` is false with another engine."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._folder = workers_folder(settings)
        self._lines: dict[int, WorkerLine] = {}
        self._target: int | None = None
        self._lost: int | None = None
        """The version in whose load a worker ended. It may have been at fault: it gets workers of its own."""

    def close(self) -> None:
        """End what is under way; the old version goes on answering."""
        for line in self._lines.values():
            line.close()
        self._lines.clear()
        self._target = None

    def served(self, slot: int) -> int:
        """The version that the workers of a registration answer with."""
        if self._settings.serving.engine != "torchserve":
            return slot
        return Slot(self._folder, slot).served()

    def forget(self, slot: int) -> None:
        """Before a registration: its workers begin with its own version."""
        Slot(self._folder, slot).clear()

    def put_back(self, slot: int, version: int) -> bool:
        """Have an earlier version answer again: workers that have dropped it load it before their next batch.

        False where nothing can be put back: with another engine, or where nothing was learnt before.
        """
        if self._settings.serving.engine != "torchserve" or version == NOTHING_LEARNT:
            return False
        Slot(self._folder, slot).point_to(folder_name(version))
        return True

    def possible(self, slot: RegisteredVersion, target: int, workers: int) -> bool:
        """Whether the workers of ``slot``, which answer everybody, can take ``target`` over: all are there and well."""
        return (
            self._settings.serving.engine == "torchserve"
            and NOTHING_LEARNT not in (target, self.served(slot.number))
            and (target != self._lost or target == slot.number)  # that number cannot be registered again
            and slot.target_workers == workers == slot.ready_workers
            and all(worker.pid is not None for worker in slot.workers)
        )

    def step(self, slot: RegisteredVersion, target: int) -> Progress:
        """The next step towards ``target`` in the workers of ``slot``; ``lost``: one of them cannot be asked.

        Raises ``CannotLoadError``, and ``ProbeError`` where a worker answers otherwise than was evaluated.
        """
        try:
            loaded = self._load({worker.pid for worker in slot.workers if worker.pid is not None}, target)
            if not loaded:
                return "loading"
            self._try(target)
        except LineLostError as error:
            logger.warning("version %d gets workers of its own: %s", target, error)
            self.close()
            self._lost = target
            return "lost"
        except Exception:
            self.close()
            raise
        Slot(self._folder, slot.number).point_to(folder_name(target))
        self.close()
        self._lost = None
        return "done"

    def _load(self, pids: Collection[int], target: int) -> bool:
        if self._target != target or self._lines.keys() != set(pids):
            self.close()
            self._target = target
            for pid in sorted(pids):
                self._lines[pid] = WorkerLine(socket_of(self._folder, pid))
                self._lines[pid].begin(target, folder_name(target))
        if problem := wait_all(tuple(self._lines.values()), WAIT_SECONDS):
            raise CannotLoadError(problem)
        return all(line.loaded for line in self._lines.values())

    def _try(self, target: int) -> None:
        folder: Path = self._settings.models_folder / folder_name(target)
        for line in self._lines.values():
            check_canary(line, target, folder, self._settings)
