"""Which version the workers of one registration answer with: all of them read it from one name, at every batch.

A registration in TorchServe is a slot: its number is that of the version it began with, and stays. The link
``slot-<number>`` names the folder of the version that answers now; without it, it is the one that the slot began with.
Replacing a symbolic link is atomic: that is the moment in which all workers change, also one that starts just then.
"""

from contextlib import suppress
from pathlib import Path
from typing import Final

WORKERS_VARIABLE: Final = "LUCIR_WORKERS_FOLDER"
"""Names the private folder of the links and of the sockets of the workers."""
MODELS_VARIABLE: Final = "LUCIR_MODELS_FOLDER"
"""Names the folder of the mirrored versions."""


def forget_slots(workers: Path) -> None:
    """Before a server starts, which has no registrations yet: remove the links of an earlier one."""
    for link in workers.glob("slot-*"):
        link.unlink(missing_ok=True)


def socket_of(workers: Path, pid: int) -> Path:
    """Where a worker is asked to hold a version beside the one that it answers with."""
    return workers / str(pid)


class Slot:
    """The slot ``number``. ``workers`` is the folder of the links, which is made when there is one."""

    def __init__(self, workers: Path, number: int) -> None:
        self._link = workers / f"slot-{number}"
        self._number = number

    def served(self) -> int:
        """The version that answers."""
        try:
            return int(self._link.readlink().name.rpartition("-")[2])
        except FileNotFoundError:
            return self._number

    def point_to(self, folder: str) -> None:
        """From now on the version in ``folder`` (its name) answers; a worker that does not hold it loads it first."""
        self._link.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        new = self._link.with_suffix(".new")  # one process moves links: the one that reconciles
        with suppress(FileNotFoundError):
            new.unlink()
        new.symlink_to(folder)
        new.replace(self._link)

    def clear(self) -> None:
        """The version that the slot is registered with answers."""
        with suppress(FileNotFoundError):
            self._link.unlink()
