"""A sample of the histories (``make simulate`` runs as many as wanted), and that they would see what is wrong."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tools.simulation.planted import PLANTED
from tools.simulation.scheduler import Process, Scheduler

COUNT = 60


def run(*words: str, status: int = 0) -> str:
    """In a process of its own: parts of the product are replaced there."""
    command = [sys.executable, "-m", "tools.simulation", *words]
    done = subprocess.run(
        command, cwd=Path(__file__).parents[2], capture_output=True, text=True, encoding="utf-8", check=False
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_no_history_violates_anything() -> None:
    assert f"{COUNT} histories in" in run("--count", str(COUNT))


@pytest.mark.slow
def test_no_history_begins_when_the_time_is_up() -> None:
    """What is said to be done was done, and where to go on follows from it."""
    done, said = run("--first", "11", "--count", "1000000", "--jobs", "1", "--time-limit", "0.5").splitlines()
    count = int(done.split()[0])
    last = f"last seed {10 + count}; to go on after a stop: --first {11 + count}" if count else "none was begun"
    assert said == f"the time was up; {last}"
    assert count < 1000000


@pytest.mark.slow
def test_planted_faults_are_found() -> None:
    """Each of them; most in the first few histories, one of them in one of some 800."""
    told = run("--self-test", "--count", "2000").splitlines()
    assert len(told) == len(PLANTED)
    assert all(line.startswith("found in history") for line in told)


def printed(code: str, **environment: str) -> str:
    """By a process of its own: a disk in memory is there for good."""
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=True,
    ).stdout


@pytest.mark.slow
def test_a_seed_is_a_whole_history() -> None:
    """In another process, whose sets have another order."""
    code = (
        "import hashlib\n"
        "from tools.simulation.many import begin\n"
        "from tools.simulation.bucket import Bucket\n"
        "from tools.simulation.history import Story, live\n"
        "begin()\n"
        "written, put = hashlib.sha256(), Bucket.put\n"
        "def noted(self, key, data):\n"
        "    written.update(repr((key, data)).encode())\n"
        "    return put(self, key, data)\n"
        "Bucket.put = noted\n"
        "print([live(Story(seed)) for seed in range(20, 40)], written.hexdigest())\n"
    )
    one, other = (printed(code, PYTHONHASHSEED=seed) for seed in ("1", "2"))
    assert one == other


def test_what_nobody_expected_is_a_violation_and_not_the_end_of_all_histories() -> None:
    code = (
        "from handlers.torchserve.reconcile import Reconciler\n"
        "from tools.simulation.many import begin\n"
        "from tools.simulation.history import Story, live\n"
        "begin()\n"
        "def breaks(_):\n"
        "    raise FileNotFoundError('slot-1.new')\n"
        "Reconciler.step = breaks\n"
        "print(live(Story(1)))\n"
    )
    assert printed(code) == "nobody expected this: FileNotFoundError('slot-1.new')\n"


def test_the_same_seed_gives_the_same_order() -> None:
    def order(seed: str) -> list[tuple[str, float]]:
        scheduler, seen = Scheduler(seed), list[tuple[str, float]]()

        def work(name: str) -> None:
            for _ in range(5):
                seen.append((name, scheduler.now))
                scheduler.sleep(scheduler.random.uniform(0, 1))

        for name in "abc":
            scheduler.spawn(Process(name), lambda name=name: work(name))  # type: ignore[misc]
        scheduler.run(2_000, lambda: True)
        return seen

    assert order("1") == order("1")
    assert order("1") != order("2")
    assert len(order("1")) == 15
