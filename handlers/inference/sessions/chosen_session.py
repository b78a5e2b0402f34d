"""The session of a version: its published network, or the copy of it that answers here."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
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
    Device,
    chosen_alike,
    remember,
    remembered,
)
from handlers.inference.sessions.headed_session import MODEL_FILE, published_session
from handlers.inference.sessions.onnx_session import Session, on_gpu
from handlers.inference.sessions.serving_copy import choose, compare, copies_of
from handlers.inference.sessions.verified_files import VerifiedFiles

logger = logging.getLogger(__name__)

Check = Callable[[Session], None]
"""Raises ``UnusableVersionError`` for one that does not run, or not as its version should."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A version in ``folder``, to be computed by ``device``.

    ``family``: the same for all versions whose networks differ in their numbers only, but for the number of classes.
    ``prepare``: an image file to the network's input (size, size, 3).
    """

    folder: Path
    files: VerifiedFiles
    rules: CopyRules
    device: Device
    family: str
    prepare: Callable[[bytes], NDArray[np.uint8]]

    def published(self) -> Session:
        """The network as it was published. Raises ``UnusableVersionError``."""
        return published_session(self.files, self.device.threads, self.device.gpu)

    def copy(self, name: str) -> Session | None:
        """A copy that answered here before; None where it cannot be had any more."""
        open_copy = copies_of(self.files, self.device, name).get(name)
        try:
            return None if open_copy is None else open_copy()
        except Exception as error:  # whatever its runtime raises: the published network is there
            logger.warning("the copy %s of %s cannot be used any more", name, self.folder.name, exc_info=error)
            return None

    def remember(self, choice: Choice) -> None:
        """For the next process that loads the version here."""
        remember(self.folder, choice, self.rules, self.device, self.files.digest(MODEL_FILE), self.family)
        logger.info("%s answers with %s, %.2f times as fast", self.folder.name, choice.copy, choice.speed)


def chosen_session(wanted: Wanted, check: Check) -> tuple[Choice, Session]:
    """What answers, and why. Raises ``UnusableVersionError``."""
    if wanted.rules.auto and wanted.files.has(QUANTISED_FILE):
        wanted.files.verified(QUANTISED_FILE)
    if wanted.rules.auto:
        known = _remembered(wanted) or _inherited(wanted)
        if known is not None:
            check(known[1])
            return known
    published = wanted.published()
    check(published)
    if not wanted.rules.auto:
        return NOTHING_CHOSEN, published
    if not on_gpu(published):  # where CUDA does not work, the processor's copies are what can be had
        wanted = replace(wanted, device=Device(wanted.device.threads))
    return _measured(wanted, published, check)


def _remembered(wanted: Wanted) -> tuple[Choice, Session] | None:
    """What was chosen here before; None: nothing, or what cannot be had any more."""
    choice = remembered(wanted.folder, wanted.rules, wanted.device, wanted.files.digest(MODEL_FILE))
    if choice is None:
        return None
    session = wanted.published() if choice.copy == PUBLISHED else wanted.copy(choice.copy)
    return None if session is None else (choice, session)


def _inherited(wanted: Wanted) -> tuple[Choice, Session] | None:
    """What was chosen for such a network: itself, or a copy that agrees with what this one answered when it was
    evaluated. It needs no second look at its speed, nor the published network beside it.
    """
    alike = chosen_alike(wanted.folder, wanted.rules, wanted.device, wanted.family)
    if alike is None:
        return None
    if alike.copy == PUBLISHED:
        if not alike.by_speed:
            return None
        wanted.remember(alike)
        return alike, wanted.published()
    canary = CanaryImages.read(wanted.folder, wanted.prepare)
    if canary is None or canary.answers is None:
        return None
    session = wanted.copy(alike.copy)
    if session is None:
        return None
    choice = compare(canary.answers, canary.images, wanted.rules, session, alike)
    if choice is None:
        return None
    wanted.remember(choice)
    return choice, session


def _measured(wanted: Wanted, published: Session, check: Check) -> tuple[Choice, Session]:
    """The fastest of all that can be had."""
    canary = CanaryImages.read(wanted.folder, wanted.prepare)
    copies = {} if canary is None else copies_of(wanted.files, wanted.device)
    if canary is None or not copies:
        return NOTHING_CHOSEN, published
    choice, session = choose(published, canary.images, wanted.rules, copies)
    wanted.remember(choice)
    if session is not published:
        check(session)
    return choice, session
