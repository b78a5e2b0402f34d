"""A small process between the supervisor and a service, so that nothing outlives either of them.

``python -m handlers.stack.supervision.guard GRACE COMMAND...`` runs the command in a process group of its own. Input is
the lifeline: its end, or SIGTERM, means stop. The command gets SIGTERM and ``GRACE`` seconds, then everything that
descends from it gets SIGKILL, whatever group or session it moved to: the guard is its subreaper. The same happens when
the command ends by itself and leaves descendants behind (TorchServe's Python workers after a killed JVM).

A pipe is the lifeline, not ``PR_SET_PDEATHSIG``, because that one follows the *thread* that started a process. The
command itself does get ``PR_SET_PDEATHSIG``: it covers a guard that is killed. Standard library only: it starts in
milliseconds and costs a few megabytes.
"""

import ctypes
import math
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
LIFELINE = 0
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Guard:
    """Runs one command to its end and removes what it leaves."""

    def __init__(self, command: list[str], grace: float) -> None:
        self.grace = grace
        self.exit_status: int | None = None
        self._deadline = math.inf  # when SIGKILL follows
        self._asked_to_stop = False
        self._stop_wanted = False
        self._wakeup, wakeup_writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        for number in STOP_SIGNALS:
            signal.signal(number, self._want_stop)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wakeup_writer, warn_on_full_buffer=False)
        _prctl(PR_SET_CHILD_SUBREAPER, 1)()
        self.child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            process_group=0,
            preexec_fn=_prctl(PR_SET_PDEATHSIG, signal.SIGKILL),  # this process has one thread: safe
        )

    def run(self) -> int:
        """Wait until the command has ended; return its status as a shell gives it (128 + signal)."""
        lifeline = [LIFELINE]
        while True:
            self._reap()
            if self.exit_status is not None:
                self._kill_descendants()
                return self.exit_status
            timeout = None if math.isinf(self._deadline) else max(0.0, self._deadline - time.monotonic())
            ready = select.select([*lifeline, self._wakeup], [], [], timeout)[0]
            if self._wakeup in ready:
                os.read(self._wakeup, 4096)
            if LIFELINE in ready and not os.read(LIFELINE, 4096):
                lifeline, self._stop_wanted = [], True
            self._stop_if_wanted()

    def _want_stop(self, *_: object) -> None:
        self._stop_wanted = True

    def _stop_if_wanted(self) -> None:
        """SIGTERM once, SIGKILL once. Not through ``Popen``, which would reap the child behind ``_reap``'s back."""
        if self._stop_wanted and not self._asked_to_stop:
            self._asked_to_stop = True
            self._deadline = time.monotonic() + self.grace
            os.kill(self.child.pid, signal.SIGTERM)
        elif time.monotonic() >= self._deadline:
            self._deadline = math.inf
            os.kill(self.child.pid, signal.SIGKILL)

    def _reap(self) -> None:
        """Collect every ended child, adopted orphans included; remember how the command itself ended."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self.child.pid:
                code = os.waitstatus_to_exitcode(status)
                self.child.returncode = code
                self.exit_status = code if code >= 0 else 128 - code

    def _kill_descendants(self) -> None:
        """Kill until no child is left: each killed parent hands its own children to this process."""
        while pids := _children():
            for pid in pids:
                os.kill(pid, signal.SIGKILL)  # no race: an ended child keeps its id until it is reaped here
            for pid in pids:
                os.waitpid(pid, 0)


def _children() -> list[int]:
    return [int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text(encoding="utf-8").split()]


def _prctl(option: int, value: int) -> Callable[[], None]:
    library = ctypes.CDLL(None, use_errno=True)

    def call() -> None:
        if library.prctl(option, value, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), f"prctl({option}) failed")

    return call


def main(arguments: list[str]) -> int:
    """Run ``arguments``: the grace in seconds, then the command."""
    try:
        guard = Guard(arguments[1:], float(arguments[0]))
    except OSError as error:
        sys.stderr.write(f"cannot start {arguments[1]}: {error.strerror}\n")
        return 127
    return guard.run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
