"""A network in two parts: a backbone, which versions may have in common, and the head of each.

Versions on one frozen backbone differ in their heads only. What the first of them has loaded serves those that follow:
a swap to the next costs a head, some milliseconds.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final
from weakref import WeakKeyDictionary, WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from handlers.inference.sessions.onnx_session import OnnxSession, Session, UnusableVersionError
from handlers.inference.sessions.verified_files import VerifiedFiles

MODEL_FILE: Final = "model.onnx"
HEAD_FILE: Final = "head.onnx"
BACKBONE: Final = "backbone"
"""The property of a head that tells which backbone it is made for."""


class Inputs(dict[str, NDArray[Any]]):
    """images (batch, size, size, 3), and what backbones have made of them: another head on one of them needs no more.

    Whoever measures how long a network takes gives it new ones each time.
    """

    def __init__(self, images: NDArray[np.uint8]) -> None:
        super().__init__(images=images)
        self.made: WeakKeyDictionary[Session, dict[str, NDArray[Any]]] = WeakKeyDictionary()


@lru_cache(maxsize=8)
def blank(size: int) -> Inputs:
    """One black image: what a backbone makes of it is known when its next head is tried."""
    return Inputs(np.zeros((1, size, size, 3), np.uint8))


class HeadedSession:
    """``head`` on whatever ``backbone`` computes of its inputs."""

    def __init__(self, backbone: Session, head: OnnxSession) -> None:
        self.backbone = backbone
        self._head = head
        self.outputs = head.inputs | head.outputs

    def run(self, names: Sequence[str], feed: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """These outputs, of inputs by name."""
        made = feed.made.setdefault(self.backbone, {}) if isinstance(feed, Inputs) else {}
        if missing := [name for name in self._head.inputs if name not in made]:
            made |= dict(zip(missing, self.backbone.run(missing, feed), strict=True))
        given = {name: made[name] for name in self._head.inputs}
        wanted = [name for name in names if name not in given]
        known = given | dict(zip(wanted, self._head.run(wanted, given), strict=True))
        return [known[name] for name in names]


def backbone_of(session: Session) -> Session:
    """What several sessions may have in common; a network that is loaded in whole has only itself."""
    return session.backbone if isinstance(session, HeadedSession) else session


_backbones: Final[WeakValueDictionary[tuple[str, str, int], Session]] = WeakValueDictionary()
"""Of the sessions that are there: whole networks, by their backbone, the kind of copy, and the number of threads."""
_loading: Final = threading.Lock()


def published_session(files: VerifiedFiles, threads: int, gpu: int | None = None) -> Session:
    """The network as it was published. ``gpu``: the number of a CUDA device. Raises ``UnusableVersionError``."""
    if gpu is not None or not files.has(HEAD_FILE):
        return OnnxSession(files.verified(MODEL_FILE), threads, gpu)
    return _session(files, "fp32", threads, lambda: OnnxSession(files.verified(MODEL_FILE), threads))


def divided_session(files: VerifiedFiles, copy: str, threads: int, whole: Callable[[], Session]) -> Session:
    """A copy of the backbone, and the head as it was published: it is small, and in full width as fast.

    ``whole`` loads the copy of the whole network; a version without a head of its own has nothing else.
    """
    if not files.has(HEAD_FILE):
        return whole()
    return _session(files, copy, threads, whole)


def _session(files: VerifiedFiles, copy: str, threads: int, whole: Callable[[], Session]) -> Session:
    head = OnnxSession(files.verified(HEAD_FILE), threads)
    key = head.property(BACKBONE), copy, threads
    if not key[0]:
        raise UnusableVersionError(f"{HEAD_FILE} does not say which backbone it is made for")
    with _loading:
        backbone = _backbones.get(key) or _backbones.setdefault(key, whole())
    return HeadedSession(backbone, head)
