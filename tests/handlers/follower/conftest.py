"""One writer's store, and replicas that follow it: real reconcile loops before doubles of TorchServe."""

import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from handlers.follower.pages import make_app
from handlers.follower.replica import Follower
from handlers.settings import Settings
from handlers.sidecar.http import WebServer
from handlers.stack.ports import free_ports
from model_store.directory.directory_store import DirectoryStore
from model_store.objects import ObjectStore, StoreError, StoreUnavailableError
from model_store.versions import VersionStore
from tests.support.servers.torchserve_double import TorchServeDouble
from tests.support.waiting import PATIENCE, wait_for
from tools.manifests import make_manifest

READS = {"read", "stat", "download", "list", "folders"}


class ReaderStore:
    """Another store seen by somebody who may only read; counts the calls, and can be out of reach."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self.calls: list[tuple[str, str]] = []
        self.away = False

    @property
    def url(self) -> str:
        return self._store.url

    def __getattr__(self, name: str) -> Any:
        if name not in READS:
            raise StoreError(f"{name}: access denied")
        method = getattr(self._store, name)

        def call(key: str, *arguments: Any, **options: Any) -> Any:
            self.calls.append((name, key))
            if self.away:
                raise StoreUnavailableError("the store cannot be reached")
            return method(key, *arguments, **options)

        return call


@dataclass
class Replica:
    """A follower with its TorchServe and its pages."""

    settings: Settings
    store: ReaderStore
    server: TorchServeDouble
    follower: Follower
    thread: threading.Thread
    web: WebServer

    def wait_serves(self, version: int) -> None:
        """Until everything says so: the status, then the metrics, then the readiness, as they are set."""
        wait_for(lambda: self.metric("lucir_served_version") == version and self.follower.problem is None)

    def get(self, path: str) -> httpx.Response:
        return httpx.get(f"http://127.0.0.1:{self.web.port}{path}", timeout=60, trust_env=False)

    def predict(self) -> int:
        url = f"{self.settings.inference_url}/predictions/lucir"
        answer = httpx.post(url, content=b"x", timeout=60, trust_env=False)
        assert answer.status_code == 200, answer.text
        return int(answer.json()["model_version"])

    def metric(self, name: str, **labels: str) -> float | None:
        return self.follower.metrics.registry.get_sample_value(name, labels)

    def stop(self) -> None:
        """The follower ends; TorchServe goes on."""
        self.follower.stopping.set()
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive()
        self.web.stop()


@pytest.fixture
def writer(tmp_path: Path) -> VersionStore:
    """Where versions are published."""
    return VersionStore(DirectoryStore(tmp_path / "store"))


@pytest.fixture
def publish(writer: VersionStore, tmp_path: Path) -> Callable[..., int]:
    """Publish the next version and, unless told otherwise, point to it."""

    def run(*, point: bool = True) -> int:
        number = writer.next_number()
        file = tmp_path / f"model-{uuid.uuid4().hex}"
        file.write_bytes(b"model %d" % number * 1000)
        manifest = make_manifest(number)
        writer.publish(manifest, {"model.onnx": file})
        if point:
            writer.point_to(number, "test")
        return number

    return run


@pytest.fixture
def start(tmp_path: Path, writer: VersionStore) -> Iterator[Callable[..., Replica]]:
    """Start a replica by name; the same name again is the same data folder and the same TorchServe.

    ``objects``: how it sees the store.
    """
    replicas: list[Replica] = []
    servers: dict[str, TorchServeDouble] = {}

    def run(name: str = "replica", *, away: bool = False, objects: ObjectStore | None = None) -> Replica:
        if name in servers:
            settings = servers[name].settings
        else:
            serving, metrics = free_ports(2)
            settings = Settings.model_validate(
                {
                    "data": tmp_path / name,
                    "store": writer.objects.url,
                    "serving": {"port": serving, "metrics_port": metrics},
                    "follower": {"pointer_seconds": 0.1},
                }
            )
        if name not in servers:
            servers[name] = TorchServeDouble(settings)
        store = ReaderStore(objects or writer.objects)
        store.away = away
        follower = Follower(settings, store)  # type: ignore[arg-type]  # it answers by __getattr__
        web = WebServer(make_app(follower), "127.0.0.1", 0)
        web.start()
        thread = threading.Thread(target=follower.run)
        thread.start()
        replicas.append(Replica(settings, store, servers[name], follower, thread, web))
        return replicas[-1]

    yield run
    for replica in replicas:
        replica.stop()
    for double in servers.values():
        with suppress(OSError):
            double.stop()
