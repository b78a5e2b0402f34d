"""What the server and its model processes say to each other over a socket pair: pickled, the length before it.

Both ends are processes of the same user and the same code, and nobody else has the socket: pickle is safe here.
"""

import asyncio
import os
import pickle
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Final, NamedTuple

from handlers.inference.replies import RawRequest
from handlers.inference.workers.worker import WorkerOptions
from handlers.logs import LogRules

_LENGTH: Final = struct.Struct("!Q")
_LEVEL: Final = "LUCIR_LOG__LEVEL"
_FORMAT: Final = "LUCIR_LOG__FORMAT"
_GPU: Final = "LUCIR_MODEL_PROCESS_GPU"
_KEYS: Final = "LUCIR_SERVING__API_KEY"
"""Begins the variables that hold or name API keys, of which a model process has no need."""


@dataclass(frozen=True, slots=True)
class LogWords:
    """How to log."""

    level: str
    format: str


def model_environment(options: WorkerOptions, log: LogRules, gpu: int | None) -> dict[str, str]:
    """The whole environment of a model process. ``gpu``: the number of a CUDA device."""
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(_KEYS)},
        **options.to_environment(),
        _LEVEL: log.level,
        _FORMAT: log.format,
        _GPU: "" if gpu is None else str(gpu),
    }


def read_log_words(environment: Mapping[str, str]) -> LogWords:
    """What ``model_environment`` wrote."""
    return LogWords(environment[_LEVEL], environment[_FORMAT])


def read_gpu(environment: Mapping[str, str]) -> int | None:
    """What ``model_environment`` wrote."""
    return int(environment[_GPU]) if environment[_GPU] else None


class Classify(NamedTuple):
    """Answer these together with a version that is loaded; the result is a list of ``Reply``."""

    call: int
    version: int
    requests: Sequence[RawRequest]


class Load(NamedTuple):
    """Load the version in a folder beside those that answer; the result is a ``ModelFacts``."""

    call: int
    version: int
    folder: str


class Forget(NamedTuple):
    """Let a version go; there is no result."""

    version: int


class Result(NamedTuple):
    """Of a call by its number. ``problem``: why there is no ``value``."""

    call: int
    value: Any = None
    problem: str = ""


class ModelFacts(NamedTuple):
    """What the server tells of a version that its processes have loaded."""

    version: int
    classes: tuple[str, ...]
    resize: int
    size: int
    interpolation: str


def pack(message: Classify | Load | Forget | Result) -> bytes:
    """A message as it is sent."""
    data = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    return _LENGTH.pack(len(data)) + data


def read_message(file: BinaryIO) -> Any:
    """The next message; None when the other end is gone."""
    head = file.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    data = file.read(length)
    return pickle.loads(data) if len(data) == length else None  # noqa: S301 (see above)


class Messages(asyncio.Protocol):
    """Puts together what the other end sends, without a task that waits for it. Raises nothing.

    ``received`` is called with each message; ``lost`` once, when the other end is gone.
    """

    def __init__(self, received: Callable[[Any], None], lost: Callable[[], None]) -> None:
        self._received = received
        self._lost = lost
        self._data = b""

    def data_received(self, data: bytes) -> None:
        """Some bytes, which may end in the middle of a message."""
        data = self._data + data if self._data else data
        at = 0
        while len(data) >= at + _LENGTH.size:
            end = at + _LENGTH.size + _LENGTH.unpack_from(data, at)[0]
            if end > len(data):
                break
            self._received(pickle.loads(memoryview(data)[at + _LENGTH.size : end]))  # noqa: S301 (see above)
            at = end
        self._data = data[at:]

    def connection_lost(self, exc: Exception | None) -> None:
        """The other end is gone."""
        self._lost()
