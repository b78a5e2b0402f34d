"""What the updater and the follower do around their work as processes: settings, log, pages, a clean stop."""

import argparse
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from starlette.applications import Starlette

from handlers.logs import setup_logging
from handlers.setting_values import load_settings
from handlers.settings import Settings, SettingsError
from handlers.sidecar.http import WebServer
from handlers.web_address import web_address

logger = logging.getLogger(__name__)

EXIT_CONFIG = 78
"""The settings are wrong, or name something this process may not use: a restart changes nothing."""
EXIT_UNAVAILABLE = 69
"""The port or the data folder is taken, or the store's folder is not there (yet)."""
EXIT_DEAD_THREAD = 70
"""A thread ended by an error that nobody expected: whoever watches this process starts it again, whole."""
END_SECONDS = 60.0
"""Longest that such a process takes for an orderly end, before it ends at once."""
EXIT_GAVE_UP = 75
"""Nothing is wrong with the settings, but what was to be done failed again and again: try again later."""


class Sidecar(Protocol):
    """The work of such a process."""

    stopping: threading.Event

    def run(self) -> None:
        """Work until ``stopping`` is set."""


def command_line(name: str, purpose: str | None) -> argparse.ArgumentParser:
    """What both understand: ``--config FILE``."""
    parser = argparse.ArgumentParser(prog=f"python -m handlers.{name}", description=purpose)
    parser.add_argument("--config", type=Path, help="a YAML file of settings")
    return parser


def configure(name: str, config: Path | None) -> Settings:
    """Read the settings and set up the log. Raises ``SystemExit`` with a status and a reason."""
    try:
        settings = load_settings(config)
        settings.serving.keys()  # a file of keys that cannot be read is said now, not by the thread that needs one
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(EXIT_CONFIG) from error
    setup_logging(settings.log, name)
    return settings


def serve(sidecar: Sidecar, app: Starlette, host: str, port: int, *, variable: str, news: str) -> int:
    """Answer HTTP and work until SIGTERM or Ctrl-C, or until a thread dies; return the exit status.

    variable: the environment variable that sets the port. news: what the log says at the start.
    """
    try:
        web = WebServer(app, host, port)
    except OSError as error:
        where = web_address(host, port)
        logger.error("cannot listen on %s (%s): stop what uses it, or set %s", where, error.strerror, variable)
        return EXIT_UNAVAILABLE
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sidecar.stopping.set())
    with _whole(sidecar.stopping) as dead:
        web.start()
        logger.info("%s, pages on %s/", news, web_address(host, web.port))
        try:
            sidecar.run()
        finally:
            web.stop()
    if dead:
        logger.error("ended, to be started again: the thread %s had died", dead[0])
        return EXIT_DEAD_THREAD
    logger.info("stopped")
    return 0


@contextmanager
def _whole(stopping: threading.Event) -> Iterator[list[str]]:
    """Set ``stopping`` when a thread dies, and list it: without it the process would live on as if all were well."""
    dead: list[str] = []
    last_resort = threading.Timer(END_SECONDS, os._exit, (EXIT_DEAD_THREAD,))
    last_resort.daemon = True
    before = threading.excepthook

    def died(told: threading.ExceptHookArgs) -> None:
        name = told.thread.name if told.thread is not None else "(unknown)"
        error = told.exc_value or told.exc_type()
        logger.error("the thread %s died: %s", name, error, exc_info=error)
        if not stopping.is_set():  # in an orderly end it is too late to matter
            dead.append(name)
            stopping.set()
            last_resort.start()

    threading.excepthook = died
    try:
        yield dead
    finally:
        threading.excepthook = before
        last_resort.cancel()
