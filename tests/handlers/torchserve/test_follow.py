"""``lucir follow`` as a user runs it: two replicas of one store beside each other, real TorchServes, under load."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from handlers.demo.load import LoadClient
from handlers.settings import Settings
from handlers.stack.folder import StackRecord, find_stack
from tests.handlers.torchserve.conftest import Stack
from tests.support.waiting import PATIENCE, STOP_SECONDS, lives, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def load(url: str, image: bytes) -> LoadClient:
    """One client that asks again at once."""
    return LoadClient(url, [image], threads=1, think_seconds=0)


class Replica:
    """A running ``lucir follow``."""

    def __init__(self, data: Path, store: Path) -> None:
        self.data = data
        self.log = data.with_suffix(".log")
        command = [sys.executable, "-m", "handlers.cli.main", "follow", "--free-ports"]
        kept = {name: value for name, value in os.environ.items() if not name.startswith("LUCIR_")}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, "--store", store.as_uri(), "--data", data], env=kept, stdout=log, stderr=log
            )

    def record(self) -> StackRecord:
        def ready() -> StackRecord | None:
            found = find_stack(Settings(data=self.data))
            return found if found is not None and found.ready else None

        return wait_for(ready, self.process)

    def status(self) -> dict[str, Any]:
        url = f"{self.record().updater_url}/api/status"
        document: dict[str, Any] = httpx.get(url, timeout=60, trust_env=False).json()
        return document

    def answers_with(self, version: int, image: bytes) -> bool:
        url = f"{self.record().inference_url}/predictions/lucir"
        return bool(httpx.post(url, content=image, timeout=60).json().get("model_version") == version)


def sidecars(replica: Replica) -> list[psutil.Process]:
    """Its follower, without the guard before it."""
    found = []
    for process in psutil.Process(replica.process.pid).children(recursive=True):
        with suppress(psutil.Error):  # a worker of the version before may be ending
            words = process.cmdline()
            if words[-1:] == ["handlers.follower"] and "guard.py" not in " ".join(words):
                found.append(process)
    return found


@pytest.fixture
def follow(tmp_path: Path) -> Iterator[Callable[[str, Path], Replica]]:
    replicas: list[Replica] = []

    def start(name: str, store: Path) -> Replica:
        replicas.append(Replica(tmp_path / name, store))
        return replicas[-1]

    yield start
    for replica in replicas:
        if replica.process.poll() is None:
            replica.process.terminate()
            replica.process.wait(PATIENCE)


def test_two_replicas_follow_one_writer_and_lose_no_request(
    new_stack: Callable[..., Stack],
    follow: Callable[[str, Path], Replica],
    make_image: Callable[..., bytes],
) -> None:
    writer = new_stack()  # whose own TorchServe is never started
    writer.publish(1)
    store = writer.settings.data / "store"
    before = {path: path.stat().st_mtime_ns for path in store.rglob("*")}
    replicas = [follow(name, store) for name in ("one", "two")]
    image = make_image("grün")
    urls = [replica.record().inference_url for replica in replicas]
    assert {path: path.stat().st_mtime_ns for path in store.rglob("*")} == before  # it was only read
    with load(urls[0], image) as first, load(urls[1], image) as second:

        def seen(version: int) -> None:  # by both clients: a swap may take less time than a request
            wait_for(lambda: first.first_answer(version) and second.first_answer(version))

        seen(1)
        writer.publish(2)
        wait_for(lambda: all(replica.answers_with(2, image) for replica in replicas))
        seen(2)
        writer.versions.rollback(1)
        wait_for(lambda: all(replica.answers_with(1, image) for replica in replicas))
        (sidecar,) = sidecars(replicas[0])
        sidecar.kill()
        writer.publish(3)
        wait_for(lambda: all(replica.answers_with(3, image) for replica in replicas))
        seen(3)
    for clients in (first, second):
        assert clients.problems() == []
        assert {request.version for request in clients.requests()} == {1, 2, 3}
    wait_for(lambda: all(replica.status()["served_version"] == 3 for replica in replicas))

    tree = psutil.Process(replicas[0].process.pid).children(recursive=True)
    replicas[0].process.send_signal(signal.SIGINT)
    assert replicas[0].process.wait(STOP_SECONDS) == 0
    wait_for(lambda: not any(map(lives, tree)), patience=STOP_SECONDS)
    assert replicas[1].answers_with(3, image)
