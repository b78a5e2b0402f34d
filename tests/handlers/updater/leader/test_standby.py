"""Two real updaters on one store: whichever freezes, dies or stops, each image is learnt once."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from handlers.settings import Settings
from model_store.directory.directory_store import DirectoryStore
from model_store.versions import VersionStore
from tests.handlers.conftest import Drop
from tests.support.processes.side import Side
from tests.support.processes.updater_process import end, log_of, status_of
from tests.support.stores.outcome import ended, hashes, learnt_once
from tests.support.waiting import wait_for

pytestmark = pytest.mark.slow


@pytest.fixture
def sides(settings: Settings, root: Path) -> Iterator[tuple[Side, Side]]:
    one = Side(settings, root.as_uri(), "one")
    one.wait_for("active")
    two = Side(settings, root.as_uri(), "two")
    yield one, two
    one.end()
    two.end()


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
    assert wait_for(lambda: ended(root, "000001"), two.process).result == "published"
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
    done = wait_for(lambda: ended(root, "000002"), one.process)
    assert (done.result, done.version) == ("published", 2)

    # The active one is stopped: what it gives back need not be waited for.
    two.begin()
    two.wait_for("standby")
    end(one.process)
    two.wait_for("active")
    assert log_of(two.settings).count("is silent") == 1  # only at its first take-over

    assert hashes(root, "archive") == dropped
    learnt_once(root, 2)
    assert VersionStore(DirectoryStore(root)).numbers() == [1, 2]
    assert sorted(path.name for path in (root / "updates").iterdir()) == ["000001", "000002", "lease.json"]
