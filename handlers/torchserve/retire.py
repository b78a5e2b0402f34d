"""How a version that no longer answers everybody is let go without losing a request."""

import logging
import shutil
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Final

from handlers.torchserve.folders import NOTHING_LEARNT, version_of
from handlers.torchserve.inference_port import NoRoomError, Probe, ProbeError
from handlers.torchserve.management import ManagementClient, RegisteredVersion

logger = logging.getLogger(__name__)

GRACE_SECONDS: Final = 2.0
"""A request that a network thread accepted for the old version just before the switch is queued well within this.

TorchServe only: our own server decides by version when a batch begins, and what runs by then ends by itself.
"""


class Retirement:
    """Drains and unregisters versions. ``longest_answer``: seconds after which TorchServe ends a request itself;
    ``grace``: seconds that a version stays at least.
    """

    def __init__(
        self,
        management: ManagementClient,
        probe: Probe,
        longest_answer: float,
        clock: Callable[[], float],
        grace: float = GRACE_SECONDS,
    ) -> None:
        self._grace = grace
        self._management = management
        self._probe = probe
        self._longest_answer = longest_answer
        self._clock = clock
        self._since: dict[int, float] = {}

    def step(self, others: Collection[RegisteredVersion]) -> bool:
        """Unregister those of ``others`` (everything but the default version) that are drained; True while some are
        not. A version that is wanted again in between simply stops being among them.
        """
        now = self._clock()
        self._since = {version.number: self._since.get(version.number, now) for version in others}
        left = False
        for version in others:
            if self._drained(version, now - self._since[version.number]):
                self._management.unregister(version.number)
                logger.info("version %d is unregistered", version.number)
            else:
                left = True
        return left

    def _drained(self, version: RegisteredVersion, waited: float) -> bool:
        """Whether nobody waits for an answer of this version, as far as can be seen from outside."""
        if waited < self._grace:
            return False
        if version.ready_workers == 0 or waited > self._grace + self._longest_answer:
            return True
        # Of several workers TorchServe tells only what is queued: one may answer us while another works on still.
        if version.pending or (self._grace and version.ready_workers > 1 and version.number != NOTHING_LEARNT):
            return False
        try:
            # Queued behind everything else: once it is answered, what the worker held before it is answered too.
            self._probe.ask(version.number)
        except NoRoomError:
            return False  # others wait before us
        except ProbeError as error:
            logger.info("version %d answers no longer: %s", version.number, error)
        return True


def remove_folders(models: Path, keep: Collection[int]) -> None:
    """Remove the mirrored versions that are not in ``keep``; they can be mirrored again."""
    for folder in models.iterdir():
        version = version_of(folder)
        if version is not None and version not in keep:
            shutil.rmtree(folder, ignore_errors=True)
