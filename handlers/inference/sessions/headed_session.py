"""A network in two parts: a backbone, which versions may have in common, and the head of each.

Versions on one frozen backbone differ in their heads only. What the first of them has loaded serves those that follow:
a swap to the next costs a head, some milliseconds.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from weakref import WeakValueDictionary

from numpy.typing import NDArray

from handlers.inference.sessions.onnx_session import OnnxSession, Session, UnusableVersionError
from handlers.inference.sessions.verified_files import VerifiedFiles

MODEL_FILE: Final = "model.onnx"
HEAD_FILE: Final = "head.onnx"
BACKBONE: Final = "backbone"
"""The property of a head that tells which backbone it is made for."""


class HeadedSession:
    """``head`` on whatever ``backbone`` computes of its inputs."""

    def __init__(self, backbone: Session, head: OnnxSession) -> None:
        self.backbone = backbone
        self._head = head
        self.outputs = head.inputs | head.outputs

    def run(self, names: Sequence[str], feed: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """These outputs, of inputs by name."""
        given = tuple(self._head.inputs)
        known = dict(zip(given, self.backbone.run(given, feed), strict=True))
        made = [name for name in names if name not in known]
        known |= dict(zip(made, self._head.run(made, known), strict=True))
        return [known[name] for name in names]


_backbones: Final[WeakValueDictionary[tuple[str, str, int], Session]] = WeakValueDictionary()
"""Of the sessions that are there: whole networks, by their backbone, the kind of copy, and the number of threads."""
_loading: Final = threading.Lock()


def published_session(files: VerifiedFiles, threads: int, gpu: int | None = None) -> Session:
    """The network as it was published, in whole or on a backbone that is here. ``gpu``: the number of a CUDA device,
    for which it is loaded in whole. Raises ``UnusableVersionError``.
    """
    if gpu is not None or not files.has(HEAD_FILE):
        return OnnxSession(files.verified(MODEL_FILE), threads, gpu)
    return _session(files, "fp32", threads, lambda: OnnxSession(files.verified(MODEL_FILE), threads), divided=False)


def divided_session(files: VerifiedFiles, copy: str, threads: int, whole: Callable[[], Session]) -> Session:
    """A copy of the backbone, and the head as it was published: it is small, and in full width as fast.

    ``whole`` loads the copy of the whole network; a version without a head of its own has nothing else.
    """
    if not files.has(HEAD_FILE):
        return whole()
    return _session(files, copy, threads, whole, divided=True)


def _session(files: VerifiedFiles, copy: str, threads: int, whole: Callable[[], Session], *, divided: bool) -> Session:
    """``divided``: also where the network is loaded for this head, which is a part of it."""
    head = OnnxSession(files.verified(HEAD_FILE), threads)
    key = head.property(BACKBONE), copy, threads
    if not key[0]:
        raise UnusableVersionError(f"{HEAD_FILE} does not say which backbone it is made for")
    with _loading:
        backbone = _backbones.get(key)
        if backbone is None:
            backbone = _backbones[key] = whole()
            if not divided:
                return backbone
    return HeadedSession(backbone, head)
