"""The learning child: ``python -m handlers.updater.learn <work folder> <parent's process id>``.

Reads ``task.json`` and the prepared arrays, runs one phase, exports it, compares the export with PyTorch on real
images, writes ``result.json`` last. Progress goes to standard output as JSON lines, logs to standard error, an
explanation of a failure to ``error.json``. Killed at any moment, the next run goes on from the resume file.
"""

import ctypes
import os
import signal
import sys
from pathlib import Path

_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> int:
    """Learn; return the exit status."""
    die_with_parent(int(arguments[1]))
    # Only now: torch takes seconds to import, in which a parent that is killed would leave this process behind.
    from handlers.updater.learner import run

    return run(Path(arguments[0]))


def die_with_parent(parent: int) -> None:
    """Let the kernel kill this process when the thread of ``parent`` that started it ends, however that happens."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before the line above
        raise SystemExit(f"the updater (process {parent}) is gone")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
