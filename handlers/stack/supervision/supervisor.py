"""Keeps a set of services running until it is told to stop, and leaves nothing behind."""

import logging
import threading
import time
from collections.abc import Callable, Iterable

from handlers.stack.errors import StackError
from handlers.stack.supervision.service_logs import LogSink
from handlers.stack.supervision.supervised import RunningService, Service

logger = logging.getLogger(__name__)

TICK_SECONDS = 0.2
STOP_SECONDS = 8.0
"""From the wish to stop to the end of all services, unless one of them has a longer grace."""
FAILED_STARTS = 5


class Supervisor:
    """Starts services, restarts what crashes or hangs, stops all within ``STOP_SECONDS`` or the longest grace."""

    def __init__(self, services: Iterable[Service], sink: LogSink) -> None:
        self._sink = sink
        self._released: set[str] = set()
        self._running = {service.name: RunningService(service, sink.writer(service.name)) for service in services}

    def run(
        self, stop: threading.Event, on_ready: Callable[[], None], on_stop: Callable[[], None] = lambda: None
    ) -> None:
        """Supervise until ``stop`` is set. ``on_ready`` is called once, when every service is ready.

        ``on_stop`` is called before services are asked to stop, which answer for a while yet.

        Raises ``StackError`` when a service ends ``FAILED_STARTS`` times without ever having answered.
        """
        announced = False
        said: dict[str, str] = {}
        try:
            while not stop.is_set():
                now = time.monotonic()
                for running in self._running.values():
                    if self._may_start(running):
                        running.tick(now)
                        self._give_up_on(running)
                self._report(said)
                if not announced and self.ready:
                    announced = True
                    on_ready()
                stop.wait(TICK_SECONDS)
        finally:
            on_stop()
            self.stop()

    @property
    def ready(self) -> bool:
        """Whether every service does its work."""
        return all(running.health.ready for running in self._running.values())

    def running(self, name: str) -> RunningService:
        """One of the services."""
        return self._running[name]

    def stop(self) -> None:
        """Stop all services at the same time, then those they need; whatever does not follow in time is killed."""
        graces = (running.service.grace_seconds + 1.0 for running in self._running.values())
        deadline = time.monotonic() + max(STOP_SECONDS, *graces)
        needed = {running.service.needs for running in self._running.values()}
        for last in (False, True):
            group = [running for name, running in self._running.items() if (name in needed) is last]
            for running in group:
                running.ask_to_stop()
            for running in group:
                running.finish(deadline)

    def _may_start(self, running: RunningService) -> bool:
        """Whether what it needs has been ready once; after that each is restarted on its own."""
        needs = running.service.needs
        if needs is not None and self._running[needs].health.ready:
            self._released.add(running.service.name)
        return needs is None or running.service.name in self._released

    def _report(self, said: dict[str, str]) -> None:
        """Log each change from ready to not ready and back."""
        for name, running in self._running.items():
            state = "is ready" if running.health.ready else running.health.reason
            if running.pid is not None and said.get(name) != state:
                said[name] = state
                logger.info("%s %s", name, state)

    def _give_up_on(self, running: RunningService) -> None:
        if running.ever_alive or running.failures < FAILED_STARTS:
            return
        name = running.service.name
        lines = "\n".join(f"  {line}" for line in self._sink.last_lines(name)[-15:])
        raise StackError(f"{name} ended {FAILED_STARTS} times without ever having answered. Its last lines:\n{lines}")
