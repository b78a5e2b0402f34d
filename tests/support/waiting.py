"""Waiting for what happens in another thread or process."""

import subprocess
import time
from collections.abc import Callable
from typing import TypeVar

import psutil

Found = TypeVar("Found")

PATIENCE = 240.0
"""Seconds. Much longer than anything takes: what is tested is that it happens, on a machine that may be busy."""


STOP_SECONDS = 60.0
"""For the end of what was told to end. Ten are meant: all that runs is killed after eight. A busy machine may take
several times as long."""


def wait_for(
    what: Callable[[], Found | None], process: "subprocess.Popen[bytes] | None" = None, *, patience: float = PATIENCE
) -> Found:
    """What ``what`` gives, as soon as that is something true. ``process`` must live on meanwhile.

    ``patience``: seconds; a shorter one where the time is what is promised.
    """
    deadline = time.monotonic() + patience
    while not (found := what()):
        assert process is None or process.poll() is None, f"the process ended with status {process.returncode}"
        assert time.monotonic() < deadline, f"it did not come true within {patience:.0f} s"
        time.sleep(0.02)
    return found


def lives(process: psutil.Process) -> bool:
    """Whether it has not ended. psutil knows a process by its start time too, so a reused id is no mistake."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:  # between the two questions
        return False
