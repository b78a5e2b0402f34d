"""Waiting for what happens in another thread or process."""

import subprocess
import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")

PATIENCE = 240.0
"""Seconds. Much longer than anything takes: what is tested is that it happens, on a machine that may be busy."""


def wait_for(what: Callable[[], Found | None], process: "subprocess.Popen[bytes] | None" = None) -> Found:
    """What ``what`` gives, as soon as that is something true. ``process`` must live on meanwhile."""
    deadline = time.monotonic() + PATIENCE
    while not (found := what()):
        assert process is None or process.poll() is None, f"the process ended with status {process.returncode}"
        assert time.monotonic() < deadline, f"it did not come true within {PATIENCE:.0f} s"
        time.sleep(0.02)
    return found
