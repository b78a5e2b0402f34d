"""Structured logging for every process: text for people, one JSON object a line for collectors; on standard error."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Protocol, TextIO

QUIET = ("uvicorn", "watchfiles", "httpx", "httpcore", "asyncio", "PIL", "matplotlib", "torch")
"""Libraries whose everyday messages would bury ours: their warnings still come through."""
SILENT = ("urllib3", "python_multipart")
"""They warn of each retry and each malformed form; the caller already gets an error, or logs one."""

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def fields(record: logging.LogRecord) -> dict[str, object]:
    """What the caller passed as ``extra``."""
    return {name: value for name, value in vars(record).items() if name not in _STANDARD}


class TextFormatter(logging.Formatter):
    """``12:30:01 WARNING updater.watch  the message (class=cat images=3)``."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, except for a traceback below it."""
        time = datetime.fromtimestamp(record.created, UTC).astimezone().strftime("%H:%M:%S")
        text = f"{time} {record.levelname:<7} {record.name.removeprefix('handlers.')}: {_one_line(record.getMessage())}"
        if extra := fields(record):
            text += " (" + " ".join(f"{name}={_one_line(str(value))}" for name, value in extra.items()) + ")"
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return text


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (UTC, ISO 8601), level, logger, message, the extra fields, exception."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        """The record as JSON; values JSON does not know are written as text."""
        document = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "process": self._process,
            "logger": record.name,
            "message": record.getMessage(),
            **fields(record),
        }
        if record.exc_info:
            document["exception"] = self.formatException(record.exc_info)
        return json.dumps(document, default=str, ensure_ascii=False)


class LogRules(Protocol):
    """The settings ``log``, wherever a process has them from."""

    @property
    def level(self) -> str:
        """The least that is logged."""

    @property
    def format(self) -> str:
        """``text`` or ``json``."""


def setup_logging(settings: LogRules, process: str, stream: TextIO | None = None) -> None:
    """Send the logs of this process to ``stream`` (default: standard error), replacing what was set up before."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter(process) if settings.format == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.level)
    logging.captureWarnings(capture=True)
    for name in QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLevelNamesMapping()[settings.level]))
    for name in SILENT:
        logging.getLogger(name).setLevel(logging.ERROR)


def _one_line(text: str) -> str:
    """No line break of a file name or an answer may forge a line of the log."""
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r") if not text.isprintable() else text
