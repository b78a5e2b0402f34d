"""Child processes that can be killed: forked from one clean server that has imported the library once."""

import multiprocessing
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any

from tests.support.waiting import PATIENCE

# A child must see no torch of the test process, whose thread pools a fork would break; a server that only imports has
# none. Imports take seconds, forks milliseconds.
_CONTEXT: ForkServerContext = multiprocessing.get_context("forkserver")
# The optimiser imports torch._dynamo at its first step.
_CONTEXT.set_forkserver_preload(["__main__", "torch._dynamo", "lucir_core.bench.run_protocol", "lucir_core.testing"])


class Child:
    """`target(call, *arguments)` in a process of its own; `call(message)` there waits for `go_on` here."""

    def __init__(self, target: Callable[..., None], *arguments: Any) -> None:
        self._ours, theirs = _CONTEXT.Pipe()
        self.process: ForkServerProcess = _CONTEXT.Process(target=_run, args=(theirs, target, arguments))
        with _tests_importable():
            self.process.start()
        theirs.close()

    def message(self) -> Any:
        """What the child calls with next; None where it has ended."""
        if not self._ours.poll(PATIENCE):
            self.kill()
            raise AssertionError(f"the child was silent for {PATIENCE:g} seconds")
        try:
            return self._ours.recv()
        except EOFError:
            return None

    def go_on(self) -> None:
        self._ours.send(None)

    def kill(self) -> int:
        """SIGKILL, or nothing where it has ended; the exit code."""
        self.process.kill()
        return self.end()

    def end(self) -> int:
        """Wait for it; the exit code, negative for a signal."""
        self.process.join(PATIENCE)
        code = self.process.exitcode
        assert code is not None, "the child does not end"
        self.process.close()
        self._ours.close()
        return code


@contextmanager
def _tests_importable() -> Iterator[None]:
    """The child takes over this path, and must find its target in the tests."""
    root = str(Path(__file__).parents[3])
    sys.path.insert(0, root)
    yield
    sys.path.remove(root)


def _run(pipe: Any, target: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    # Only here: the server forks with nothing of torch begun.
    import torch

    torch.set_num_threads(1)

    def call(message: Any) -> None:
        pipe.send(message)
        pipe.recv()

    target(call, *arguments)
