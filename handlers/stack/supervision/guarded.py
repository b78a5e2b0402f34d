"""Starting a command behind a guard, and reading what it writes, line by line."""

import logging
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

logger = logging.getLogger(__name__)

LONGEST_LINE = 16 * 1024


class GuardedProcess:
    """A command whose whole process tree ends with it, with this object's process, or ``grace`` seconds after a stop.

    ``output`` receives every line of standard output and error, from a thread of its own.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        grace: float,
        output: Callable[[str], None],
        folder: Path | None = None,
    ) -> None:
        guard = [sys.executable, "-S", str(Path(__file__).with_name("guard.py")), str(grace), *command]
        self._process = subprocess.Popen(
            guard,
            stdin=subprocess.PIPE,  # the lifeline: it closes when this process ends, however it ends
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            cwd=folder,
            process_group=0,  # a Ctrl-C at the terminal reaches the supervisor only, which stops all in order
        )
        self._output = output
        self._reader = threading.Thread(target=self._read, name=f"output-{self.pid}", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """The guard's process id."""
        return self._process.pid

    def poll(self) -> int | None:
        """The exit status once everything has ended: 128 + n when signal n ended the command."""
        status = self._process.poll()
        return status if status is None or status >= 0 else 128 - status

    def terminate(self) -> None:
        """Ask the command to stop; its tree is killed when the grace has passed."""
        if self._process.poll() is None:
            self._process.terminate()

    def kill(self) -> None:
        """Kill a guard that did not do its work; the command dies with it."""
        if self._process.poll() is None:
            self._process.kill()

    def wait(self, timeout: float) -> bool:
        """Whether everything ended within ``timeout`` seconds; its last lines have been handed on then."""
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            return False
        self._reader.join(timeout=1.0)
        if self._process.stdin is not None:
            self._process.stdin.close()
        return True

    def _read(self) -> None:
        stream = self._process.stdout
        if stream is None:
            raise RuntimeError("the guard was started without a pipe")
        with stream:
            while data := stream.readline(LONGEST_LINE):
                line = data.decode(errors="replace").rstrip("\r\n")
                try:
                    self._output(line)
                except Exception:  # a full disk must not block the child on a pipe that nobody reads
                    logger.exception("a line of output was lost", extra={"pid": self.pid})


def describe_status(status: int) -> str:
    """An exit status in words, e.g. ``killed by signal 9``."""
    return f"killed by signal {status - 128}" if status > 128 else f"exit status {status}"
