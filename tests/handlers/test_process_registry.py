"""What processes cost, read from real ones."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from handlers.process_registry import ModelProcesses

WORK = "sum(range(3_000_000)); print('done', flush=True); input()"


@contextmanager
def worked() -> Iterator[int]:
    """The number of a process that has used its processor for a while, and waits."""
    with subprocess.Popen([sys.executable, "-c", WORK], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"done\n"
        try:
            yield process.pid
        finally:
            process.kill()


def values(processes: ModelProcesses) -> list[float]:
    return [sample.value for family in processes.collect() for sample in family.samples]


def test_the_time_of_a_process_that_ended_stays_and_its_memory_goes() -> None:
    running: list[int] = []
    processes = ModelProcesses(lambda: running)
    assert values(processes) == [0, 0]
    with worked() as first, worked() as second:
        running += [first, second]
        seconds, memory = values(processes)
        assert seconds > 0
        running.remove(first)
        later, less = values(processes)
    assert later >= seconds
    assert 0 < less < memory
    assert values(processes) == [later, 0]  # both have ended; the second one is still in the list
    with worked() as third:
        running[:] = [third]
        assert values(processes)[0] > later
