"""The learning child as its parent sees it: started, told what to do, heard, ended; a crash there is an error here."""

import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from handlers.child_environment import without_settings
from handlers.parallel import few_threads
from handlers.updater.context.child import ChildProgress, Job, Report
from handlers.updater.errors import LearningError, MachineError, StopRequestedError
from lucir_core.runtime.threads import WAIT_POLICY

logger = logging.getLogger(__name__)

ERROR_FILE = "error.json"
EXIT_ENVIRONMENT = 75
"""The child could not do its work for a reason that is not the drop's: disk full, no such device."""
STOP_SECONDS = 2.0
TICK_SECONDS = 0.1


class Child:
    """``python -m handlers.updater.training``, one process at a time, in a process group of its own.

    It imports for seconds before it can do anything: ``warm`` lets it begin with that while a drop is still settling.
    Everything here must be called from one thread, which lives as long as the updater: the kernel ends the child when
    the thread that started it ends.
    """

    def __init__(self) -> None:
        self._process: _Process | None = None

    @property
    def pid(self) -> int | None:
        """The process, dead or alive, until it is ended or replaced; None without one."""
        return self._process.popen.pid if self._process is not None else None

    def warm(self) -> None:
        """Start the process, unless it is there. Raises ``OSError``."""
        if self._process is not None and (status := self._process.popen.poll()) is not None:
            logger.warning("the learning process ended before it had anything to do", extra={"status": status})
            self.end()
        if self._process is None:
            self._process = _Process()

    def run(self, job: Job, folder: Path, report: Report, stop: threading.Event, tick: Callable[[], None]) -> None:
        """Let it do a job, and wait until that is done; the process stays, for the next one.

        Raises ``LearningError``, ``MachineError``, ``StopRequestedError`` when ``stop`` is set, and what ``tick``
        raises; the process has ended then.
        """
        (folder / ERROR_FILE).unlink(missing_ok=True)
        self.warm()
        process = self._process
        if process is None:
            raise RuntimeError("there is no learning process")
        try:
            process.begin(job, folder, report)
            logger.info("the job %r began", job, extra={"pid": process.popen.pid, "folder": str(folder)})
            while process.works():
                tick()
                if stop.is_set():
                    raise StopRequestedError
            if not process.done:
                raise _failure(folder, process.end())
        except BaseException:
            self.end()
            raise

    def end(self) -> None:
        """End the process, if there is one, whatever it is doing."""
        process, self._process = self._process, None
        if process is not None:
            process.end()


class _Process:
    """The running process, and a thread that reads what it says."""

    def __init__(self) -> None:
        self.done = False
        """Whether it has done its last job."""
        self._report: Report = lambda _: None
        self._heard = threading.Event()
        self.popen = subprocess.Popen(
            [sys.executable, "-m", "handlers.updater.training", str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            process_group=0,
            env={**WAIT_POLICY, **few_threads(), **without_settings(os.environ), "PYTHONUNBUFFERED": "1"},
        )
        if self.popen.stdin is None or self.popen.stdout is None:
            raise RuntimeError("the child was started without its pipes")
        self._stdin, self._stdout = self.popen.stdin, self.popen.stdout
        self._reader = threading.Thread(target=self._read, name="learning-output", daemon=True)
        self._reader.start()

    def begin(self, job: Job, folder: Path, report: Report) -> None:
        """Tell it what to do."""
        self.done, self._report = False, report
        self._heard.clear()
        with suppress(BrokenPipeError):  # it has ended, and its status will tell why
            os.write(self._stdin.fileno(), json.dumps({"job": job, "folder": str(folder)}).encode() + b"\n")

    def works(self) -> bool:
        """Wait a moment: whether it is still at its job."""
        return not self._heard.wait(TICK_SECONDS) and self.popen.poll() is None

    def end(self) -> int:
        """End it and all that it started; how it ended, by itself if it was about to."""
        if self._heard.is_set() and not self.done:
            with suppress(subprocess.TimeoutExpired):
                self.popen.wait(STOP_SECONDS)
        _end(self.popen)
        self._reader.join(timeout=2.0)
        self._stdin.close()
        return self.popen.returncode

    def _read(self) -> None:
        with self._stdout as lines:
            for line in lines:
                try:
                    progress = ChildProgress.model_validate_json(line)
                except ValidationError:  # some library printed
                    logger.info("learning: %s", line.decode(errors="replace").rstrip())
                    continue
                if progress.done:
                    self.done = True
                    self._heard.set()
                else:
                    self._report(progress)
        self._heard.set()


def _failure(folder: Path, status: int) -> Exception:
    told: dict[str, Any] = {}
    try:
        told = json.loads((folder / ERROR_FILE).read_bytes())
    except (OSError, ValueError):
        logger.debug("the child left no explanation", extra={"status": status})
    if status == EXIT_ENVIRONMENT:
        return MachineError(str(told.get("message", "the learning process could not work here; its log says why")))
    if told:
        return LearningError(str(told.get("message")))
    if status == -signal.SIGKILL:
        return LearningError(
            "the learning process was killed (signal 9), most often because memory ran out: "
            "lower learning.overrides.batch_size, or give the machine more memory"
        )
    how = f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"
    return LearningError(f"the learning process {how}; its log says more")


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End the child and all that it started."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            logger.warning("the learning process does not end by itself: killing it", extra={"pid": process.pid})
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        logger.debug("nothing is left of the learning process", extra={"pid": process.pid})
    process.wait()
