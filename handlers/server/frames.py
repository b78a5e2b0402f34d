"""The server's end of a socket pair to a model process, and what such a process is told when it starts."""

import asyncio
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from handlers.child_environment import without_settings
from handlers.inference.workers.worker import WorkerOptions
from handlers.inference.workers.worker_calls import LENGTH, unpack
from handlers.logs import LogRules

_LEVEL: Final = "LUCIR_LOG__LEVEL"
_FORMAT: Final = "LUCIR_LOG__FORMAT"
_GPU: Final = "LUCIR_MODEL_PROCESS_GPU"


@dataclass(frozen=True, slots=True)
class LogWords:
    """How to log."""

    level: str
    format: str


def model_environment(options: WorkerOptions, log: LogRules, gpu: int | None) -> dict[str, str]:
    """The whole environment of a model process. ``gpu``: the number of a CUDA device."""
    return {
        **without_settings(os.environ),
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
        while len(data) >= at + LENGTH.size:
            end = at + LENGTH.size + LENGTH.unpack_from(data, at)[0]
            if end > len(data):
                break
            self._received(unpack(memoryview(data)[at + LENGTH.size : end]))
            at = end
        self._data = data[at:]

    def connection_lost(self, exc: Exception | None) -> None:
        """The other end is gone."""
        self._lost()
