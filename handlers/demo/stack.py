"""A stack of the demo's own: in a folder of its own, on free ports, with no setting of the user's environment."""

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from handlers.demo.errors import DemoError
from handlers.settings import ENVIRONMENT_PREFIX, Settings
from handlers.stack.folder import StackRecord, find_stack
from handlers.stack.supervision.guarded import GuardedProcess

READY_SECONDS = 90.0
GRACE_SECONDS = 10.0


class DemoStack:
    """``lucir up`` as a child process; its output goes to a file."""

    def __init__(self, data: Path, log: Path, options: Sequence[str]) -> None:
        self.data = data
        self._log = log
        self._options = options
        self._process: GuardedProcess | None = None

    def __enter__(self) -> StackRecord:
        """Start it; gives its addresses once it is ready. Raises ``DemoError``."""
        command = (sys.executable, "-P", "-m", "handlers.cli.main", "up", "--data", str(self.data), "--free-ports")
        # A LUCIR_STORE of the user's must not get the demo's digits.
        environment = {k: v for k, v in os.environ.items() if not k.upper().startswith(ENVIRONMENT_PREFIX)}
        self._log.unlink(missing_ok=True)
        self._process = GuardedProcess([*command, *self._options], environment, GRACE_SECONDS, self._write)
        try:
            return self._wait()
        except BaseException:
            self._stop()
            raise

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        status = self._stop()
        if kind is None and status != 0:
            raise DemoError(f"the stack ended with status {status}; see {self._log}")

    def _write(self, line: str) -> None:
        with self._log.open("a", encoding="utf-8") as log:
            log.write(line + "\n")

    def _wait(self) -> StackRecord:
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            record = find_stack(Settings(data=self.data))
            if record is not None and record.ready:
                return record
            if self._process is None or self._process.poll() is not None:
                raise DemoError(f"the stack did not start; see {self._log}:\n{self._last_lines()}")
            time.sleep(0.1)
        raise DemoError(f"the stack was not ready within {READY_SECONDS:.0f} s; see {self._log}")

    def _stop(self) -> int | None:
        if self._process is None:
            return None
        self._process.terminate()
        if not self._process.wait(GRACE_SECONDS + 2.0):
            self._process.kill()
            self._process.wait(2.0)
        return self._process.poll()

    def _last_lines(self) -> str:
        return "\n".join(self._log.read_text(errors="replace", encoding="utf-8").splitlines()[-15:])
