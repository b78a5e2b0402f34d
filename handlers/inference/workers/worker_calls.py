"""What is said to a process that holds versions in memory, and what it answers: pickled, the length before it.

Both ends are processes of the same user and the same code, and nobody else has the socket: pickle is safe here.
"""

import pickle
import struct
from collections.abc import Sequence
from typing import Any, BinaryIO, Final, NamedTuple

from handlers.inference.replies import RawRequest

LENGTH: Final = struct.Struct("!Q")
"""Before each message: how many bytes it has."""


class Classify(NamedTuple):
    """Answer these together with a version that is loaded; the result is a list of ``Reply``."""

    call: int
    version: int
    requests: Sequence[RawRequest]


class Again(NamedTuple):
    """Answer the requests of the last ``Classify``, so many, with another version; the result is as there."""

    call: int
    version: int
    requests: int


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


def pack(message: Classify | Again | Load | Forget | Result) -> bytes:
    """A message as it is sent."""
    data = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    return LENGTH.pack(len(data)) + data


def unpack(data: bytes | memoryview) -> Any:
    """The message in ``data``, without its length. Raises whatever pickle does for one of another release."""
    return pickle.loads(data)  # noqa: S301 (see above)


def read_message(file: BinaryIO) -> Any:
    """The next message; None when the other end is gone."""
    head = file.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    (length,) = LENGTH.unpack(head)
    data = file.read(length)
    return unpack(data) if len(data) == length else None
