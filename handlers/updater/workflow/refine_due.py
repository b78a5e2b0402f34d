"""When the backbone of the served version is refined, and when that gives way.

An updater that has nothing else to do refines the last stages of a frozen backbone, once for each version that was
served in the end: an update like any other, with the steps of ``lucir relearn`` and a learning process of its own, so
that the other one stays ready for a drop. As soon as images arrive, or a person asks for something, it is given up;
once its version is in the store, it ends in a moment.
"""

import shutil
import subprocess
import time
from collections.abc import Callable
from functools import cache
from threading import Event

from handlers.bucket.edit_documents import EditRequest, Relearn
from handlers.bucket.edit_requests import EditDesk
from handlers.bucket.edit_rules import EditError
from handlers.settings import Settings
from handlers.updater.context.parent import ParentVersion
from handlers.updater.context.update import Services, Update, served_manifest
from lucir_core.config.phase_config import PhaseConfig
from lucir_core.refine.held_back import LEAST_HELD_BACK, held_back_by
from model_store.manifest import Manifest

ASKED_SECONDS = 1.0
"""Between two looks for requests while it runs: each is a question to the store."""


class DueRefinement:
    """Of one updater. ``arriving`` is set while images arrive; ``desk`` has what people ask for."""

    def __init__(self, services: Services, arriving: Event, desk: EditDesk) -> None:
        self._services, self._arriving, self._desk = services, arriving, desk
        self._settled: int | None = None
        """The version that was found to have no use for it."""
        self._looked = self._asked = -float("inf")

    def find(self, *, at_once: bool = False) -> EditRequest | None:
        """What is to be done, if anything; asks the store as often as it is polled, or ``at_once``.

        Raises ``StoreError``.
        """
        settings, present = self._services.settings, time.monotonic()
        if not wants_refinement(settings) or self._arriving.is_set():
            return None
        if not at_once and present - self._looked < settings.updater.poll_seconds:
            return None
        self._looked = present
        pointer = self._services.versions.current()
        if pointer is None or pointer.version == self._settled:
            return None
        served = served_manifest(self._services)
        if served is None or not is_open(served) or served.version in self._services.records.refinements():
            self._settled = pointer.version
            return None
        return self._desk.made(Relearn(refine=True))

    def urgency(self, update: Update) -> Callable[[], str | None]:
        """For ``Services.urgent``: what the refinement gives way to."""

        def urgent() -> str | None:
            reason = self._waits()
            if reason is None or (update.find_plan() is not None and update.stored() is not None):
                return None
            return f"the refinement gives way: {reason}"

        return urgent

    def _waits(self) -> str | None:
        if self._arriving.is_set():
            return "images arrive"
        present = time.monotonic()
        if present - self._asked < ASKED_SECONDS:
            return None
        self._asked = present
        # After a start it rings for what there was before.
        return "a request waits" if self._desk.rings() and self._desk.pending() else None


def is_open(served: Manifest) -> bool:
    """Whether a version has a frozen backbone that was not refined just now, and is not about to be replaced."""
    return bool(served.config.get("frozen")) and served.refinement is None and served.kind != "provisional"


def wants_refinement(settings: Settings) -> bool:
    """By the settings, and by the machine where they leave it to that."""
    learning = settings.learning
    if learning.refine != "auto":
        return learning.refine == "on"
    return learning.device.startswith("cuda") or (learning.device == "auto" and has_gpu())


@cache
def has_gpu() -> bool:
    """Whether this machine has a GPU, without the seconds that PyTorch would take to say so."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return False
    try:
        answer = subprocess.run([program, "-L"], capture_output=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return False
    return b"GPU" in answer.stdout


def check_refinable(config: PhaseConfig, parent: ParentVersion) -> None:
    """Raise ``EditError`` where too few images would decide; before they are read again."""
    held_back = int(held_back_by(parent.learnt.digests, config.refine.validation_share).sum())
    if held_back < LEAST_HELD_BACK:
        raise EditError(
            f"not refined: {held_back} images would be held back to tell whether a refined backbone is better, and at "
            f"least {LEAST_HELD_BACK} are needed"
        )
