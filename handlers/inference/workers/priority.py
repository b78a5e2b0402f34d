"""What may wait, so that whoever answers clients does not."""

import os
import sys
import threading
from typing import Final

NICE: Final = 5
"""Priority of a thread that brings a version up: where others want the processor too, a third of what each gets."""


def give_way() -> None:
    """From now on whoever answers goes before this thread: on Linux a priority is a thread's own."""
    if sys.platform == "linux":
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, max(NICE, os.getpriority(os.PRIO_PROCESS, thread)))
