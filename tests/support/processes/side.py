"""One of several real updaters on one store."""

import subprocess

from handlers.settings import Settings
from handlers.stack.ports import free_ports
from tests.support.processes.updater_process import hold_child, start, status_of
from tests.support.waiting import wait_for


class Side:
    """One of several updaters on a store, with a data folder of its own."""

    def __init__(self, settings: Settings, store: str, name: str) -> None:
        (port,) = free_ports(1)
        updater = settings.updater.model_copy(update={"port": port, "lease_seconds": 2})
        data = settings.data.parent / name
        self.settings = settings.model_copy(update={"data": data, "store": store, "updater": updater})
        self.begin()

    def begin(self) -> None:
        self.process: subprocess.Popen[bytes] = start(self.settings)

    def state(self) -> str | None:
        return (status_of(self.settings).get("lease") or {}).get("state")

    def wait_for(self, state: str) -> None:
        wait_for(lambda: self.state() == state, self.process)

    def wait_learning(self) -> None:
        """Until it learns, which it then does not go on with."""
        hold_child(self.settings, self.process)

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
