"""Where the children's lines go: the terminal, prefixed and coloured, and a file each that stays small."""

import io
import logging
import os
import sys
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import TextIO, cast

from model_store.local_files import is_full

COLOURS = {"torchserve": "34", "updater": "35", "minio": "33", "stack": "32"}
FILE_BYTES = 10 * 1024 * 1024
LINES_KEPT = 40
WIDTH = 10
"""Of the name before each line of a terminal."""


class LogSink:
    """Takes lines from several threads; ``stream`` None writes to the files only."""

    def __init__(self, folder: Path, stream: TextIO | None = sys.stdout) -> None:
        self._folder = folder
        self._stream = stream
        self._colour = stream is not None and _is_terminal(stream) and "NO_COLOR" not in os.environ
        self._lock = threading.Lock()
        self._files: dict[str, _LogFile] = {}
        self._unwritten: set[str] = set()
        """Children whose files take no lines now."""
        self._last: dict[str, deque[str]] = {}

    def writer(self, name: str) -> Callable[[str], None]:
        """A function that takes the lines of the child ``name``."""
        return lambda line: self.write(name, line)

    def stream(self, name: str) -> TextIO:
        """A text stream whose lines are written as those of ``name``: for a logging handler."""
        return cast(TextIO, _LineStream(self.writer(name)))

    def write(self, name: str, line: str) -> None:
        """Write one line. A terminal that went away is left alone, the files go on; so is a file that takes nothing, of
        which the terminal is told once.
        """
        with self._lock:
            self._last.setdefault(name, deque(maxlen=LINES_KEPT)).append(line)
            problem = self._keep(name, line)
            self._show(name, line)
            if problem:
                self._show(name, problem)

    def _keep(self, name: str, line: str) -> str:
        """Write a line to the child's file; why that cannot be done, where it could before."""
        try:
            self._file(name).emit(logging.LogRecord(name, logging.INFO, "", 0, line, None, None))
        except OSError as error:
            is_new = name not in self._unwritten
            self._unwritten.add(name)
            what = "free space" if is_full(error) else "see to it"
            return f"{self._folder / name}.log cannot be written: {error.strerror}; {what}" if is_new else ""
        self._unwritten.discard(name)
        return ""

    def _show(self, name: str, line: str) -> None:
        if self._stream is None:
            return
        prefix = f"{name:<{WIDTH}} |"
        if self._colour:
            prefix = f"\x1b[{COLOURS.get(name, '36')}m{prefix}\x1b[0m"
        try:
            self._stream.write(f"{prefix} {line}\n")
            self._stream.flush()
        except (OSError, ValueError):  # a closed pipe or terminal
            self._stream = None

    def last_lines(self, name: str) -> list[str]:
        """The newest lines of a child, for the message about its failure."""
        with self._lock:
            return list(self._last.get(name, ()))

    def close(self) -> None:
        """Close the files."""
        with self._lock:
            for file in self._files.values():
                with suppress(OSError):  # a full disk, and the terminal has been told
                    file.close()
            self._files.clear()

    def _file(self, name: str) -> "_LogFile":
        if name not in self._files:
            self._folder.mkdir(parents=True, exist_ok=True)
            handler = _LogFile(
                self._folder / f"{name}.log", maxBytes=FILE_BYTES, backupCount=1, encoding="utf-8", delay=True
            )
            handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
            self._files[name] = handler
        return self._files[name]


class _LogFile(RotatingFileHandler):
    """Raises what goes wrong, where others print a traceback for each line."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (logging's name)
        """Raise the error that is being handled."""
        del record
        error = sys.exc_info()[1]
        if error is not None:
            raise error


class _LineStream(io.TextIOBase):
    """Hands on each text it is given, line by line; a logging handler writes a whole record at once."""

    def __init__(self, output: Callable[[str], None]) -> None:
        self._output = output

    def write(self, text: str, /) -> int:
        for line in text.splitlines():
            self._output(line)
        return len(text)


def _is_terminal(stream: TextIO) -> bool:
    try:
        return stream.isatty()
    except (ValueError, io.UnsupportedOperation):
        return False
