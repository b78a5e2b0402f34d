"""The session of a version: its published network, or the copy of it that answers here."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from handlers.inference.sessions.canary_images import CanaryImages
from handlers.inference.sessions.copy_choice import (
    NOTHING_CHOSEN,
    PUBLISHED,
    QUANTISED_FILE,
    Choice,
    CopyRules,
    chosen_alike,
    remember,
    remembered,
)
from handlers.inference.sessions.headed_session import MODEL_FILE, published_session
from handlers.inference.sessions.onnx_session import OnnxSession, Session
from handlers.inference.sessions.serving_copy import choose, compare, copies_of
from handlers.inference.sessions.verified_files import VerifiedFiles

logger = logging.getLogger(__name__)

Check = Callable[[Session], None]
"""Raises ``UnusableVersionError`` for one that does not run, or not as its version should."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A version in ``folder``, to be computed by so many threads or on a CUDA device.

    ``family``: the same for all versions whose networks differ in their numbers only, but for the number of classes.
    ``prepare``: an image file to the network's input (size, size, 3).
    """

    folder: Path
    files: VerifiedFiles
    rules: CopyRules
    threads: int
    gpu: int | None
    family: str
    prepare: Callable[[bytes], NDArray[np.uint8]]

    def remember(self, choice: Choice) -> None:
        """For the next process that loads the version here."""
        remember(self.folder, choice, self.rules, self.threads, self.files.digest(MODEL_FILE), self.family)
        logger.info("%s answers with %s, %.2f times as fast", self.folder.name, choice.copy, choice.speed)


def chosen_session(wanted: Wanted, check: Check) -> tuple[Choice, Session]:
    """What answers, and why. Raises ``UnusableVersionError``."""
    if wanted.rules.auto and wanted.files.has(QUANTISED_FILE):
        wanted.files.verified(QUANTISED_FILE)
    if wanted.rules.auto and wanted.gpu is None:
        known = _remembered(wanted) or _inherited(wanted)
        if known is not None:
            check(known[1])
            return known
    published = published_session(wanted.files, wanted.threads, wanted.gpu)
    check(published)
    if not wanted.rules.auto or (isinstance(published, OnnxSession) and published.on_gpu):
        return NOTHING_CHOSEN, published
    return _measured(wanted, published, check)


def _remembered(wanted: Wanted) -> tuple[Choice, Session] | None:
    """What was chosen here before; None: nothing, or what cannot be had any more."""
    choice = remembered(wanted.folder, wanted.rules, wanted.threads, wanted.files.digest(MODEL_FILE))
    if choice is None:
        return None
    if choice.copy == PUBLISHED:
        return choice, published_session(wanted.files, wanted.threads)
    copy = copies_of(wanted.files, wanted.threads, choice.copy).get(choice.copy)
    return None if copy is None else (choice, copy())


def _inherited(wanted: Wanted) -> tuple[Choice, Session] | None:
    """What was chosen for such a network: itself, or a copy that agrees with what this one answered when it was
    evaluated. It needs no second look at its speed, nor the published network beside it.
    """
    alike = chosen_alike(wanted.folder, wanted.rules, wanted.threads, wanted.family)
    if alike is None:
        return None
    if alike.copy == PUBLISHED:
        if not alike.by_speed:
            return None
        wanted.remember(alike)
        return alike, published_session(wanted.files, wanted.threads)
    copy = copies_of(wanted.files, wanted.threads, alike.copy).get(alike.copy)
    canary = CanaryImages.read(wanted.folder, wanted.prepare)
    if copy is None or canary is None or canary.answers is None:
        return None
    session = copy()
    choice = compare(canary.answers, canary.images, wanted.rules, session, alike)
    if choice is None:
        return None
    wanted.remember(choice)
    return choice, session


def _measured(wanted: Wanted, published: Session, check: Check) -> tuple[Choice, Session]:
    """The fastest of all that can be had."""
    canary = CanaryImages.read(wanted.folder, wanted.prepare)
    copies = {} if canary is None else copies_of(wanted.files, wanted.threads)
    if canary is None or not copies:
        return NOTHING_CHOSEN, published
    choice, session = choose(published, canary.images, wanted.rules, copies)
    wanted.remember(choice)
    if session is not published:
        check(session)
    return choice, session
