"""``lucir up`` and ``lucir follow``: settings for all processes, signals, the lines that say where everything is."""

import logging
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from handlers.cli.errors import USAGE, CommandError
from handlers.logs import setup_logging
from handlers.setting_values import assignments, environment, load_settings, nested
from handlers.settings import CONFIG_VARIABLE, Settings
from handlers.stack.minio import key_files, minio_values
from handlers.stack.ports import free_ports
from handlers.stack.run_replica import run_replica
from handlers.stack.run_stack import run_stack
from handlers.stack.supervision.service_logs import LogSink
from handlers.store import incoming_place

logger = logging.getLogger(__name__)

STACK_PORTS = ("serving.port", "serving.metrics_port", "updater.port", "minio.port")
REPLICA_PORTS = ("serving.port", "serving.metrics_port", "follower.port")

Start = Callable[[Settings, Mapping[str, str], LogSink, threading.Event, Callable[[], None]], None]
"""(settings, the environment that gives them to the children, their lines, when to stop, to be called when ready)."""


@dataclass(frozen=True)
class UpRequest:
    """The command line of ``lucir up`` or ``lucir follow``; ``values`` by dotted key, None where not given."""

    config: Path | None
    values: Mapping[str, Any]
    assignments: tuple[str, ...]
    free_ports: bool


def run_up(request: UpRequest) -> None:
    """Run the stack in the foreground until SIGINT, SIGTERM or SIGHUP."""
    settings, changes = resolve(request)
    run_foreground(settings, changes, run_stack, announce_stack)


def run_follow(request: UpRequest) -> None:
    """Run the replica in the foreground until SIGINT, SIGTERM or SIGHUP."""
    settings, changes = resolve(request, REPLICA_PORTS)
    if not settings.store:
        raise CommandError(
            "name the store to follow: --store s3://bucket or file:///path (or LUCIR_STORE), the one of the stack that "
            "learns",
            USAGE,
        )
    run_foreground(settings, changes, run_replica, announce_replica)


def run_foreground(
    settings: Settings, changes: dict[str, str], start: Start, say: Callable[[Settings, TextIO], None]
) -> None:
    """``start`` services with their lines on the terminal, ``say`` once where they are, end them on a signal."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: stop.set())
    sink = LogSink(settings.run_folder / "logs", sys.stdout)
    setup_logging(settings.log, "stack", sink.stream("stack"))
    try:
        start(settings, changes, sink, stop, lambda: say(settings, sys.stdout))
        logger.info("everything has stopped")
    finally:
        setup_logging(settings.log, "stack")
        sink.close()


def resolve(request: UpRequest, ports: tuple[str, ...] = STACK_PORTS) -> tuple[Settings, dict[str, str]]:
    """The settings, and the environment variables that give them to the children. ``ports``: those to be chosen."""
    options = {key: value for key, value in request.values.items() if value is not None}
    values = {**options, **assignments(request.assignments)}
    if request.free_ports:
        wanted = [key for key in ports if values.get(key) is None]
        values.update(zip(wanted, free_ports(len(wanted)), strict=True))
    settings = load_settings(request.config, nested(values))
    if own := minio_values(settings):
        values.update(own)
        settings = load_settings(request.config, nested(values))
    changes = environment(settings, values)
    settings = settings.model_copy(update={"data": settings.data.absolute()})
    if request.config is not None:
        changes[CONFIG_VARIABLE] = str(request.config.absolute())
    return settings, changes


def announce_stack(settings: Settings, stream: TextIO) -> None:
    """Say where to POST, where to drop, where to look."""
    incoming = incoming_place(settings)
    place = f"{settings.store_url} at {settings.s3.endpoint}, its key is in {key_files(settings)[0].parent}"
    storage = (("store", place),) if settings.minio.enabled else ()
    own = (
        ("teach", f"{_program()} drop FOLDER --data {settings.data}"),
        ("", f"or copy class folders into {incoming}"),
        *storage,
        ("page", settings.updater_url),
    )
    _announce("lucir is ready", settings, own, settings.updater_url, stream)


def announce_replica(settings: Settings, stream: TextIO) -> None:
    """Say where to POST, where to look."""
    own = (("follows", settings.store_url), ("status", f"{settings.follower_url}/api/status"))
    _announce("lucir follows", settings, own, settings.follower_url, stream)


def _announce(title: str, settings: Settings, own: tuple[tuple[str, str], ...], sidecar: str, stream: TextIO) -> None:
    guarded = settings.serving.api_key is not None or settings.serving.api_key_file is not None
    key = '-H "x-api-key: KEY" ' if guarded else ""
    lines = (
        ("classify", f"curl -T IMAGE.jpg {key}{settings.inference_url}/predictions/lucir"),
        *own,
        ("metrics", f"{sidecar}/metrics"),
        ("", f"and {settings.inference_url.rsplit(':', 1)[0]}:{settings.serving.metrics_port}/metrics"),
        ("stop", "Ctrl-C"),
    )
    text = "\n".join(f"  {name:<9} {line}" for name, line in lines)
    with suppress(OSError, ValueError):  # a pipe or terminal that is gone ends nobody: see ``LogSink``
        stream.write(f"\n{title}\n{text}\n\n")
        stream.flush()


def _program() -> str:
    """What to type for ``lucir``: after ``make up`` it is not on the path, so as it was started."""
    started = sys.argv[0]
    return started if Path(started).name == "lucir" and shutil.which("lucir") is None else "lucir"
