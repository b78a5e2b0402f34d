"""Two real updaters on one store: whichever freezes, dies or stops, each image is learnt once."""

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from handlers.settings import Settings
from model_store.directory import DirectoryStore
from model_store.versions import VersionStore
from tests.handlers.updater.conftest import Drop
from tests.handlers.updater.process import log_of, start, status_of, wait_until
from tests.handlers.updater.test_loop import child_of, ended, hashes, learnt_once

pytestmark = pytest.mark.slow


class Side:
    """One of the two, with a data folder of its own."""

    def __init__(self, settings: Settings, root: Path, name: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        updater = settings.updater.model_copy(update={"port": port, "lease_seconds": 2})
        data = settings.data.parent / name
        self.settings = settings.model_copy(update={"data": data, "store": root.as_uri(), "updater": updater})
        self.begin()

    def begin(self) -> None:
        self.process: subprocess.Popen[bytes] = start(self.settings)

    def state(self) -> str | None:
        return (status_of(self.settings).get("lease") or {}).get("state")

    def wait_for(self, state: str) -> None:
        wait_until(lambda: self.state() == state, self.process)

    def wait_learning(self) -> None:
        wait_until(lambda: child_of(self.process), self.process)


@pytest.fixture
def sides(settings: Settings, root: Path) -> Iterator[tuple[Side, Side]]:
    one = Side(settings, root, "one")
    one.wait_for("active")
    two = Side(settings, root, "two")
    yield one, two
    for side in (one, two):
        if side.process.poll() is None:
            side.process.kill()
        side.process.wait()


def test_a_standby_goes_on_with_what_the_other_began(sides: tuple[Side, Side], root: Path, drop: Drop) -> None:
    one, two = sides
    two.wait_for("standby")
    assert "process" in status_of(two.settings)["lease"]["holder"]

    # The active one freezes while it learns: when it wakes, its work is another's, and it writes nothing more.
    drop("zero", 0)
    drop("one", 1)
    dropped = hashes(root, "incoming")
    one.wait_learning()
    os.kill(one.process.pid, signal.SIGSTOP)
    assert wait_until(lambda: ended(root, "000001"), two.process).result == "published"
    assert two.state() == "active"
    os.kill(one.process.pid, signal.SIGCONT)
    one.wait_for("standby")
    assert hashes(root, "archive") == dropped

    # The active one is killed while it learns.
    drop("two", 2)
    dropped = sorted(dropped + hashes(root, "incoming"))
    two.wait_learning()
    two.process.kill()
    two.process.wait()
    done = wait_until(lambda: ended(root, "000002"), one.process)
    assert (done.result, done.version) == ("published", 2)

    # The active one is stopped: what it gives back need not be waited for.
    two.begin()
    two.wait_for("standby")
    one.process.terminate()
    assert one.process.wait(20) == 0
    two.wait_for("active")
    assert log_of(two.settings).count("is silent") == 1  # only at its first take-over

    assert hashes(root, "archive") == dropped
    learnt_once(root, 2)
    assert VersionStore(DirectoryStore(root)).numbers() == [1, 2]
    assert sorted(path.name for path in (root / "updates").iterdir()) == ["000001", "000002", "lease.json"]
