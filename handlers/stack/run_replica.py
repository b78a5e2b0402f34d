"""A serving replica on this machine: a serving engine and a follower, checked, started, supervised, ended."""

import threading
from collections.abc import Callable, Mapping

from handlers.settings import Settings
from handlers.stack.first_look import check_readable
from handlers.stack.folder import claimed
from handlers.stack.ports import Listener, check_ports
from handlers.stack.run_stack import supervise
from handlers.stack.service_list import environment_with, follower_service
from handlers.stack.supervision.service_logs import LogSink


def run_replica(
    settings: Settings,
    changes: Mapping[str, str],
    sink: LogSink,
    stop: threading.Event,
    on_ready: Callable[[], None],
) -> None:
    """Run until ``stop`` is set. ``changes`` are the environment variables that give the children these settings.

    Raises ``StackError`` as ``run_stack`` does; a store that does not answer now is waited for.
    """
    with claimed(settings):
        check_ports(listeners(settings))
        check_readable(settings, stop)
        sidecar = follower_service(settings, environment_with(settings, changes))
        supervise(settings, changes, sidecar, sink, stop, on_ready)


def listeners(settings: Settings) -> list[Listener]:
    """The ports that a replica listens on."""
    serving, follower = settings.serving, settings.follower
    return [
        Listener("predictions", serving.host, serving.port, "--port"),
        Listener("the serving engine's metrics", serving.host, serving.metrics_port, "--metrics-port"),
        Listener("the follower's status and metrics", follower.host, follower.port, "--follower-port"),
    ]
