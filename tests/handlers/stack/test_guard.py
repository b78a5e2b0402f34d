"""Whatever ends - the command, the guard's owner, the guard - no process is left. Real processes, no mocks."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from handlers.stack.supervision.guarded import GuardedProcess, describe_status
from tests.support.waiting import PATIENCE, lives, wait_for

# Starts a grandchild in a session of its own (as far from its group as a process can go), writes both ids, waits.
TREE = """
import os, signal, subprocess, sys, time
if "stubborn" in sys.argv: signal.signal(signal.SIGTERM, signal.SIG_IGN)
inner = "import os, signal, time; signal.signal(15, signal.SIG_IGN); print(os.getpid(), flush=True); time.sleep(300)"
child = subprocess.Popen([sys.executable, "-c", inner], stdout=subprocess.PIPE, start_new_session=True, text=True)
print(os.getpid(), child.stdout.readline().strip(), flush=True)
time.sleep(300)
"""


class Lines:
    """Collects output and lets a test wait for it."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._changed = threading.Condition()

    def __call__(self, line: str) -> None:
        with self._changed:
            self.lines.append(line)
            self._changed.notify_all()

    def first(self) -> str:
        with self._changed:
            assert self._changed.wait_for(lambda: bool(self.lines), timeout=PATIENCE)
            return self.lines[0]


def start_tree(*arguments: str, grace: float = 5.0) -> tuple[GuardedProcess, list[int]]:
    lines = Lines()
    process = GuardedProcess([sys.executable, "-c", TREE, *arguments], os.environ, grace, lines)
    return process, [int(word) for word in lines.first().split()]


def alive(pid: int) -> bool:
    try:
        return lives(psutil.Process(pid))
    except psutil.NoSuchProcess:
        return False


def gone(pids: list[int]) -> bool:
    return not any(map(alive, pids))


def test_lines_and_exit_status_come_through() -> None:
    lines = Lines()
    code = "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"
    process = GuardedProcess([sys.executable, "-c", code], os.environ, 1.0, lines)
    assert process.wait(PATIENCE)
    assert process.poll() == 3
    assert sorted(lines.lines) == ["err", "out"]


@pytest.mark.parametrize(("will", "grace", "number"), [("", 300.0, signal.SIGTERM), ("stubborn", 0.3, signal.SIGKILL)])
def test_stop_ends_a_willing_command_at_once_and_a_stubborn_one_after_the_grace(
    will: str, grace: float, number: signal.Signals
) -> None:
    process, pids = start_tree(will, grace=grace)
    process.terminate()
    assert process.wait(PATIENCE)
    assert gone(pids)  # the stubborn descendant, too
    assert process.poll() == 128 + number


def test_a_killed_command_leaves_no_descendant() -> None:
    process, pids = start_tree()
    os.kill(pids[0], signal.SIGKILL)
    assert process.wait(PATIENCE)
    assert gone(pids)
    assert describe_status(process.poll() or 0) == "killed by signal 9"


def test_a_killed_guard_takes_the_command_along() -> None:
    process, pids = start_tree()
    process.kill()
    assert process.wait(PATIENCE)
    wait_for(lambda: gone(pids[:1]))
    os.kill(pids[1], signal.SIGKILL)  # in a session of its own, and its guard is gone: only this test knows of it


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_owner_leaves_nothing(number: signal.Signals, tmp_path: Path) -> None:
    owner_code = f"""
import os, sys, time
from handlers.stack.supervision.guarded import GuardedProcess
GuardedProcess([sys.executable, "-c", {TREE!r}], os.environ, 0.3, lambda line: print(line, flush=True))
time.sleep(300)
"""
    with subprocess.Popen([sys.executable, "-c", owner_code], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        pids = [int(word) for word in owner.stdout.readline().split()]
        guard = psutil.Process(pids[0]).ppid()
        assert all(alive(pid) for pid in [*pids, guard])
        owner.send_signal(number)
    wait_for(lambda: gone([*pids, guard]))


def test_a_command_that_does_not_exist_says_so() -> None:
    lines = Lines()
    process = GuardedProcess(["/no/such/program"], os.environ, 1.0, lines)
    assert process.wait(PATIENCE)
    assert process.poll() == 127
    assert "cannot start /no/such/program" in lines.lines[0]
