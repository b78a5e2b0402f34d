"""What an update wants of the process that learns: ``training.process.Child`` offers it."""

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, Protocol

Job = Literal["learn", "edit"]
Report = Callable[[Mapping[str, Any]], None]
"""Is called, in another thread, with each line of progress."""


class LearningChild(Protocol):
    """A process of its own, so that a crash there is an error here."""

    def run(self, job: Job, folder: Path, report: Report, stop: threading.Event, tick: Callable[[], None]) -> None:
        """Do a job, and wait until that is done; the process stays, for the next one.

        Raises ``LearningError``, ``MachineError``, ``StopRequestedError`` when ``stop`` is set, and what ``tick``
        raises; the process has ended then.
        """

    def end(self) -> None:
        """End the process, if there is one, whatever it is doing."""
