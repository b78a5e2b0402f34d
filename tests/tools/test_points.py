"""A kill that is meant for one process meets no other."""

import signal
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import os, sys
from pathlib import Path
from tools.faults.points import Kill, Points

folder = Path(sys.argv[1])

def work():
    for number in range(10):
        (folder / str(number)).touch()

Points(folder, "updater", Kill("updater", 5), folder / "notes").install()
child = os.fork()
if child == 0:
    work()
    os._exit(0)
if os.waitpid(child, 0)[1] == 0:
    work()
"""


def test_an_updaters_kill_does_not_meet_the_learner_that_it_forks(tmp_path: Path) -> None:
    """The learner counted on from its parent's count, and died again and again of the updater's kill."""
    command = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL
    assert (tmp_path / "9").exists()
