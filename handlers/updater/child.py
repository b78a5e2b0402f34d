"""The learning child as its parent sees it: started, listened to, stopped; a crash there is only an error here."""

import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lucir_core.threads import WAIT_POLICY

logger = logging.getLogger(__name__)

ERROR_FILE = "error.json"
EXIT_ENVIRONMENT = 75
"""The child could not do its work for a reason that is not the drop's: disk full, no such device."""
STOP_SECONDS = 2.0
TICK_SECONDS = 0.1


class LearningError(Exception):
    """The child failed; the message says how, with what it wrote itself when it could."""


class MachineError(Exception):
    """The machine, not the drop, kept the child from working: try again later, however often."""


class StopRequestedError(Exception):
    """The updater is asked to end; the update goes on at its next start."""


class Child:
    """``python -m <module> <folder>``, in a process group of its own."""

    def __init__(
        self, folder: Path, report: Callable[[Mapping[str, Any]], None], module: str = "handlers.updater.learn"
    ) -> None:
        self._folder = folder
        self._report = report
        self._module = module

    def run(self, stop: threading.Event, tick: Callable[[], None]) -> None:
        """Wait for the end. Raises ``LearningError``, ``MachineError``, or ``StopRequestedError`` when ``stop`` is set.

        Must be called from the main thread: the kernel ends the child when the thread that started it ends.
        """
        (self._folder / ERROR_FILE).unlink(missing_ok=True)
        process = subprocess.Popen(
            [sys.executable, "-m", self._module, str(self._folder), str(os.getpid())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            process_group=0,
            env={**WAIT_POLICY, **os.environ, "PYTHONUNBUFFERED": "1"},
        )
        logger.info("learning began", extra={"pid": process.pid, "folder": str(self._folder)})
        reader = threading.Thread(target=self._read, args=(process,), name="learning-output", daemon=True)
        reader.start()
        try:
            while True:
                try:
                    status = process.wait(TICK_SECONDS)
                    break
                except subprocess.TimeoutExpired:
                    tick()
                if stop.is_set():
                    raise StopRequestedError
        finally:
            _end(process)
            reader.join(timeout=2.0)
        if status != 0:
            raise self._failure(status)

    def _read(self, process: "subprocess.Popen[bytes]") -> None:
        if process.stdout is None:
            raise RuntimeError("the child was started without a pipe")
        with process.stdout as lines:
            for line in lines:
                try:
                    message = json.loads(line)
                except ValueError:
                    message = None
                if isinstance(message, dict):
                    self._report(message)
                else:  # some library printed
                    logger.info("learning: %s", line.decode(errors="replace").rstrip())

    def _failure(self, status: int) -> Exception:
        told: dict[str, Any] = {}
        try:
            told = json.loads((self._folder / ERROR_FILE).read_bytes())
        except (OSError, ValueError):
            logger.debug("the child left no explanation", extra={"status": status})
        if status == EXIT_ENVIRONMENT:
            return MachineError(str(told.get("message", "the learning process could not work here")))
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
