"""What an update wants of the process that learns: ``training.process.Child`` offers it."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Literal, Protocol

from pydantic import ConfigDict, Field

from model_store.manifest import Document

Job = Literal["learn", "edit"]


class ChildProgress(Document):
    """One line of the process's standard output: where it is with its job."""

    model_config = ConfigDict(ser_json_inf_nan="constants")  # a loss that has become infinite is told as it is

    stage: str
    ratio: float | None = None
    """Share of the training that is done, 0 to 1; None outside of the training, and so is what follows."""
    epoch: int | None = None
    epochs: int | None = None
    losses: dict[str, float] = Field(default_factory=dict)
    eta: float | None = None
    lambda_: float | None = None
    done: bool = False
    """Whether the job has ended well: its last line."""


Report = Callable[[ChildProgress], None]
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
