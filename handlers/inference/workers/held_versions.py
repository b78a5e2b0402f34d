"""The versions that a process holds in memory, and the loop that answers calls about them over a socket."""

import ctypes
import io
import logging
import socket
import threading
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final

from handlers.inference.answering import Batch
from handlers.inference.open_inference import MODEL_NAME
from handlers.inference.replies import RawRequest, Reply, error_reply
from handlers.inference.sessions.headed_session import backbone_of
from handlers.inference.sessions.onnx_session import UnusableVersionError
from handlers.inference.version_model import VersionModel
from handlers.inference.workers.priority import give_way
from handlers.inference.workers.slot import Slot
from handlers.inference.workers.worker import WorkerOptions
from handlers.inference.workers.worker_calls import (
    Again,
    Classify,
    Forget,
    Load,
    ModelFacts,
    Result,
    pack,
    read_message,
)
from handlers.labelling.unsure_images import UnsureImages

logger = logging.getLogger(__name__)

CALL_BYTES: Final = 256 * 1024
"""Read at once: a call with the images that are usual."""


class HeldVersions:
    """Versions by number. Use it from any thread. ``gpu``: the number of a CUDA device."""

    def __init__(self, options: WorkerOptions, gpu: int | None) -> None:
        self._options = options
        self._gpu = gpu
        self._models: dict[int, VersionModel] = {}
        self._unsure = UnsureImages(options.unsure)

    def load(self, folder: Path, number: int | None = None) -> VersionModel:
        """Hold the version in ``folder`` beside the others. Raises ``UnusableVersionError``: also when it is not the
        one of this ``number``.
        """
        options = self._options
        model = VersionModel.load(folder, threads=options.threads, gpu=self._gpu, rules=options.rules)
        if number is not None and model.version != number:
            raise UnusableVersionError(f"{folder} holds version {model.version} instead of {number}")
        known = {backbone_of(held.session) for held in list(self._models.values())}
        self._models[model.version] = model
        if backbone_of(model.session) not in known:
            give_back_memory()  # not for a head: who answers meanwhile would miss that memory in its next batch
        return model

    @property
    def several(self) -> bool:
        """Whether it holds more than one."""
        return len(self._models) > 1

    def get(self, number: int) -> VersionModel | None:
        """A version that is held."""
        return self._models.get(number)

    def serving(self, slot: Slot, models: Path) -> VersionModel:
        """The version that ``slot`` names; loaded from its folder in ``models`` where it is not held, which a worker
        needs that started between the load and the exchange. Raises ``UnusableVersionError``.
        """
        number = slot.served()
        return self.get(number) or self.load(models / f"{MODEL_NAME}-{number}", number)

    def forget(self, number: int) -> None:
        """Let a version go, as soon as nothing runs with it any more."""
        self._models.pop(number, None)

    def keep(self, numbers: Collection[int]) -> None:
        """Let all others go."""
        for number in self._models.keys() - set(numbers):
            self.forget(number)

    def batch(self, requests: Sequence[RawRequest]) -> Batch:
        """What any of them answers."""
        return Batch(requests, self._options.limits, self._options.top_k, self._unsure)


class Calls:
    """Answers one call after the other that comes over ``connection``; a version is loaded in a thread beside.

    ``models``: where its folder is, if the call only names it.
    """

    def __init__(self, connection: socket.socket, held: HeldVersions, models: Path = Path()) -> None:
        self._connection = connection
        self._held = held
        self._models = models
        self._sending = threading.Lock()
        self.loading: list[threading.Thread] = []
        """Threads that load, or did so."""
        self.asked: set[int] = set()
        """Versions that the caller wants to be held."""
        self._batch = held.batch(())
        """What was to be answered last."""

    def run(self) -> None:
        """Until the other end is closed. Raises ``OSError`` when that happens before it has an answer."""
        with io.BufferedReader(self._connection.makefile("rb", 0), CALL_BYTES) as calls:
            while (call := read_message(calls)) is not None:
                match call:
                    case Classify():
                        self._batch = self._held.batch(call.requests)
                        self._send(Result(call.call, self._answers(call.version, len(call.requests))), last=True)
                    case Again():
                        self._send(Result(call.call, self._answers(call.version, call.requests)))
                    case Load():
                        self.asked.add(call.version)
                        self.loading = [thread for thread in self.loading if thread.is_alive()]
                        self.loading.append(threading.Thread(target=self._load, args=(call,), daemon=True))
                        self.loading[-1].start()
                    case Forget():
                        self.asked.discard(call.version)
                        self._held.forget(call.version)
                del call  # it would be kept until the next one

    def _send(self, result: Result, *, last: bool = False) -> None:
        """``last``: after it, what was to be answered is kept only where another version may be asked for it again.

        One that is loaded at this moment is held before it can be told of, which is after this.
        """
        with self._sending:
            self._connection.sendall(pack(result))
            if last and not self._held.several:
                self._batch = self._held.batch(())

    def _answers(self, version: int, requests: int) -> list[Reply]:
        try:
            model = self._held.get(version)
            if model is None:
                raise LookupError(f"version {version} is not loaded")
            replies = self._batch.answers(model)
            if len(replies) != requests:
                raise LookupError(f"{requests} requests are asked again, and {len(replies)} were asked before")
            return replies
        except Exception:  # the process must go on; nobody is left without an answer
            logger.exception("a batch failed", extra={"version": version, "requests": requests})
            return [error_reply(500, "internal error; the server's log has the details")] * requests

    def _load(self, call: Load) -> None:
        give_way()
        try:
            model = self._held.load(self._models / call.folder, call.version)
        except Exception as error:  # whatever it is, this version must not serve, and the others go on
            logger.exception("version %d cannot be loaded", call.version)
            result = Result(call.call, problem=str(error) or type(error).__name__)
        else:
            facts = ModelFacts(model.version, model.classes, model.resize, model.size, model.interpolation)
            result = Result(call.call, facts)
        if call.version not in self.asked:  # it was let go meanwhile
            self._held.forget(call.version)
        try:
            self._send(result)
        except OSError as error:
            logger.warning("nobody waits for version %d any more: %s", call.version, error)


def give_back_memory() -> None:
    """Return to the system what has been freed: loading takes twice a network's file for a moment, and the C library
    would keep that. Nothing happens where it is not glibc.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
