"""The learning child: ``python -m handlers.updater.training <parent's process id>``.

It imports all it needs, then does the jobs that its parent names on standard input, one JSON line each, until that
ends: ``learn`` (a phase or its imprint, the export, a comparison of both on real images) and ``edit``. A job reads
``task.json`` in its folder and writes ``result.json`` last; then the child says so. Progress goes to standard output as
JSON lines, logs to standard error; a failure is explained in ``error.json``, and the child ends. When it is killed, at
whatever moment, the next one goes on from the resume file.
"""

import ctypes
import importlib
import json
import os
import select
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TextIO

from handlers.updater.context.child import ChildProgress

_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> int:
    """Do what is asked for; return the exit status."""
    die_with_parent(int(arguments[0]))
    # Only now: torch takes seconds to import, in which a parent that is killed would leave this process behind.
    from handlers.updater.training import edit_job as editor
    from handlers.updater.training import train_job as learner

    if not select.select([sys.stdin], [], [], 0)[0]:
        # Every optimiser imports it at its first step, which takes as long as torch itself: now nobody waits for it.
        importlib.import_module("torch._dynamo")
    return serve(sys.stdin, sys.stdout, {"learn": learner.run, "edit": editor.run})


def serve(requests: TextIO, answers: TextIO, jobs: Mapping[str, Callable[[Path], int]]) -> int:
    """Do one job after the other; return the exit status of the first that failed, or 0."""
    for line in requests:
        request = json.loads(line)
        if status := jobs[request["job"]](Path(request["folder"])):
            return status
        answers.write(ChildProgress(stage="done", done=True).model_dump_json() + "\n")
        answers.flush()
    return 0


def die_with_parent(parent: int) -> None:
    """Let the kernel kill this process when the thread of ``parent`` that started it ends, however that happens."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before the line above
        raise SystemExit(f"the updater (process {parent}) is gone")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
