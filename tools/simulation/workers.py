"""The workers of a follower's engine: what they hold and answer is the product's code, without process and socket."""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, NamedTuple, Protocol

from handlers.classifier import Classifier
from handlers.inference.replies import RawRequest, Reply, encode
from handlers.inference.sessions.onnx_session import UnusableVersionError
from handlers.inference.workers.held_versions import HeldVersions
from handlers.inference.workers.slot import MODELS_VARIABLE, WORKERS_VARIABLE
from handlers.inference.workers.worker import WorkerOptions
from handlers.torchserve.in_place.worker_line import LineLostError
from handlers.torchserve.inference_port import ProbeError
from model_store.layout import MANIFEST, MODEL
from model_store.manifest import Manifest

LOADING = 1.5
"""Longest that a worker takes to load a version, in seconds: longer than an exchange waits for it at once."""
ANSWERING = 0.3
"""Longest that a batch takes."""


LATE = 0.02
"""Longest that a call between two processes of this machine takes."""


class WorkerEndedError(RuntimeError):
    """The worker that was asked has ended, and with it what it was answering."""


class Given(NamedTuple):
    """An answer: by which version, and what that holds. ``version`` 0: nothing is learnt yet."""

    version: int
    content: str


class Engine(Protocol):
    """What a worker sees of the server that it belongs to."""

    links: Path
    models: Path
    random: Random

    def passes(self, seconds: float) -> None:
        """Some time passes, up to so many seconds; anything may end meanwhile."""

    def listening(self, pid: int) -> "SimulatedWorker | None":
        """The worker whose socket that is."""

    def cannot_load(self, version: int) -> bool:
        """Whether this machine cannot load that version, so far."""


@dataclass(frozen=True)
class Model:
    """Where a worker has a network: what tells one version from another."""

    version: int
    content: str
    session: None = None
    """Nothing runs."""

    @classmethod
    def load(cls, folder: Path, **_: object) -> "Model":
        """As ``handlers.inference.version_model`` does. Raises ``UnusableVersionError``."""
        try:
            manifest = Manifest.model_validate_json((folder / MANIFEST).read_bytes())
            content = hashlib.sha256((folder / MODEL).read_bytes()).hexdigest()
        except FileNotFoundError as error:
            raise UnusableVersionError(f"{folder} lacks a file") from error
        if content != manifest.files[MODEL].sha256:
            raise UnusableVersionError(f"{folder} is damaged")
        return cls(manifest.version, content)


class SimulatedWorker:
    """A process of TorchServe for the registration ``number``, around the product's ``Classifier``."""

    def __init__(self, engine: Engine, number: int, pid: int) -> None:
        self.engine, self.number, self.pid = engine, number, pid
        self.ready = self.ended = False
        self.socket: Socket | None = None
        beginning["worker"] = self
        self._classifier = Classifier()

    def start(self) -> bool:
        """Load what the slot names; return whether it may be asked then."""
        folder = self.engine.models / f"lucir-{self.number}"
        beginning["worker"] = self  # its parts are made, and its environment read, before any time passes
        os.environ |= {WORKERS_VARIABLE: str(self.engine.links), MODELS_VARIABLE: str(self.engine.models)}
        try:
            self._classifier.initialize(Context(folder, self.number))
        except (UnusableVersionError, FileNotFoundError):
            return False
        self.ready = not self.ended
        return self.ready

    def end(self) -> None:
        """It answers nobody any more."""
        self.ready, self.ended = False, True

    def answer(self) -> Given:
        """By the version that its slot names in the end. Raises ``WorkerEndedError``, and ``SystemExit`` as there."""
        document = json.loads(self._classifier.handle([{}], Context(Path(), self.number))[0])
        if "error" in document:
            return Given(0, "")
        return Given(document["model_version"], document["content"])

    @property
    def held(self) -> "Held":
        """The versions in its memory."""
        held: Held = self._classifier.held  # type: ignore[assignment]  # put there by ``replaced``
        return held


beginning: dict[str, SimulatedWorker] = {}
"""The worker whose parts are being made."""


class Context:
    """What TorchServe tells a handler, and is told by it."""

    def __init__(self, folder: Path, number: int) -> None:
        self.system_properties = {"model_dir": str(folder)}
        self.manifest = {"model": {"modelVersion": str(number)}}

    def get_all_request_header(self, _: int) -> dict[str, str]:
        """None."""
        return {}

    def __getattr__(self, _: str) -> Any:
        """Nobody reads a status."""
        return lambda *_: None


class Held(HeldVersions):
    """The versions of a worker, which take their time and may not come."""

    def __init__(self, options: WorkerOptions, gpu: int | None) -> None:
        super().__init__(options, gpu)
        self.worker = beginning["worker"]

    def load(self, folder: Path, number: int | None = None) -> Any:
        """As the product's, later."""
        engine = self.worker.engine
        engine.passes(ANSWERING)
        if number is not None and engine.cannot_load(number):
            raise UnusableVersionError(f"version {number} cannot be loaded here")
        return super().load(folder, number)

    def batch(self, requests: Sequence[RawRequest]) -> Any:
        """What it answers takes its time, too."""
        return Asked(self.worker, len(requests))


class Asked:
    """``answering.Batch``: so many requests, of which nobody reads more than which version answered."""

    def __init__(self, worker: SimulatedWorker, requests: int) -> None:
        self._worker = worker
        self._requests = requests

    def answers(self, model: Any) -> list[Reply]:
        """Which version that is."""
        self._worker.engine.passes(ANSWERING)
        if self._worker.ended:
            raise WorkerEndedError
        return [Reply(200, encode({"model_version": model.version, "content": model.content}))] * self._requests


class Socket:
    """``worker_socket.WorkerSocket`` without a socket: a line finds it by the worker."""

    def __init__(self, workers: Path, models: Path, held: Held, served: Any) -> None:
        del workers
        self.models, self.held = models, held
        self.callers: list[Line] = []
        self._served = served

    def listen(self) -> None:
        """Begin."""
        self.held.worker.socket = self

    def leave(self, line: "Line") -> None:
        """A caller goes: as in ``WorkerSocket``, with it what nobody is answered with and no other one asked for."""
        self.callers.remove(line)
        self.held.keep({self._served(), *(other.asked for other in self.callers)})


class Line:
    """``worker_line.WorkerLine`` without a socket."""

    def __init__(self, engine: Engine, pid: int) -> None:
        worker = engine.listening(pid)
        if worker is None or worker.socket is None:
            raise LineLostError(f"worker {pid} does not answer")
        self._engine, self._worker, self._socket = engine, worker, worker.socket
        self._folder = ""
        self._there_in = 0.0
        self.asked = -1
        self.loaded = False
        self._socket.callers.append(self)

    def close(self) -> None:
        """Hang up."""
        if self in self._socket.callers:
            self._socket.leave(self)

    def begin(self, version: int, folder: str) -> None:
        """Have it load a version."""
        self._alive()
        self.asked, self._folder = version, folder
        self._there_in = self._engine.random.random() * LOADING

    def wait(self, seconds: float) -> str:
        """Wait for that."""
        if self.loaded:
            return ""
        self._alive()
        if self._there_in > max(0.0, seconds):
            self._there_in -= seconds
            self._engine.passes(seconds)
            return ""
        try:
            self._worker.held.load(self._socket.models / self._folder, self.asked)
        except UnusableVersionError as error:
            return str(error)
        self._alive()
        self.loaded = True
        return ""

    def classify(self, version: int, _: object) -> dict[str, float]:
        """Answer by a version that it holds."""
        self._engine.passes(LATE)
        self._alive()
        if self._worker.held.get(version) is None:
            raise ProbeError(f"version {version} is not loaded")
        return {}

    def _alive(self) -> None:
        if self._worker.ended:
            raise LineLostError(f"worker {self._worker.pid} is gone")
