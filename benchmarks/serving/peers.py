"""The servers that are compared: started once, asked in turn."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, NamedTuple

import httpx
import psutil

from handlers.settings import Settings
from handlers.stack.ports import free_ports
from handlers.stack.service_list import serving_service
from handlers.torchserve.reconcile import Reconciler
from model_store.directory.directory_store import DirectoryStore
from model_store.versions import VersionStore
from tools.processes import process_tree

START_SECONDS: Final = 120.0

Body = Literal["image.jpg", "image.json", "images.json"]
"""The image's file; ``{"image": base64}``; ``{"images": [base64]}``."""


class Other(NamedTuple):
    """A peer of another project: its package, where it answers, what it takes."""

    package: str
    path: str
    body: Body


OTHERS: Final = {
    "mosec": Other("mosec", "/inference", "image.jpg"),
    "litserve": Other("litserve", "/predict", "image.json"),
    "bentoml, batches": Other("bentoml", "/batched", "images.json"),
    "bentoml": Other("bentoml", "/classify", "image.jpg"),
    "kserve": Other("kserve", "/v1/models/lucir:predict", "image.jpg"),
    "torchserve, its own handler": Other("torchserve", "/predictions/lucir", "image.jpg"),
}
"""By the name in the table."""
ROOT: Final = Path(__file__).parents[2]


@dataclass(frozen=True)
class Peer:
    """A running server."""

    name: str
    url: str
    process: psutil.Process
    settings: Settings | None = None
    """Of a server of ours."""
    body: Body = "image.jpg"
    """What it is sent."""

    def cpu_seconds(self) -> float:
        """Processor time of the server and all that it has started."""
        times = [each.cpu_times() for each in process_tree(self.process.pid)]
        return sum(each.user + each.system for each in times)

    def memory_mib(self) -> float:
        """What the processes would give back: memory that they share counts once."""
        return sum(each.memory_full_info().uss for each in process_tree(self.process.pid)) / 2**20


@contextmanager
def ours(engine: Literal["torchserve", "uvicorn"], store: Path, folder: Path, **serving: object) -> Iterator[Peer]:
    """Our service on one engine, with the version that the store points to."""
    port, metrics_port = free_ports(2)
    values = {"engine": engine, "port": port, "metrics_port": metrics_port, **serving}
    settings = Settings.model_validate({"data": folder, "serving": values})
    changes = {f"LUCIR_SERVING__{name.upper()}": str(value) for name, value in values.items()}
    service = serving_service(settings, {"LUCIR_DATA": str(folder), **changes})
    with _running(service.command, dict(service.environment), service.folder) as process:
        versions = VersionStore(DirectoryStore(store))
        with Reconciler(settings, versions) as reconciler:
            deadline = time.monotonic() + START_SECONDS
            while reconciler.step().phase != "serving":
                if time.monotonic() > deadline:
                    raise RuntimeError(f"{engine} does not serve: {reconciler.state}")
                time.sleep(0.1)
        name = f"lucir, {engine}" + (", as published" if serving.get("copies") == "off" else "")
        yield Peer(name, settings.inference_url + "/predictions/lucir", process, settings)


@contextmanager
def starlette(version: Path, image: Path) -> Iterator[Peer]:
    """``benchmarks.serving.plain_starlette`` with the version in a folder."""
    (port,) = free_ports(1)
    command = (sys.executable, "-m", "benchmarks.serving.plain_starlette", str(version), str(port))
    with _running(command, None, None) as process:
        url = f"http://127.0.0.1:{port}/predictions/lucir"
        _await(url, image)
        yield Peer("Starlette and ONNX Runtime", url, process)


@contextmanager
def other(name: str, python: Path, version: Path, torchscript: Path) -> Iterator[Peer]:
    """One of ``OTHERS`` with the Python of an environment that has it: ``benchmarks.serving.others``."""
    (port,) = free_ports(1)
    package, path, body = OTHERS[name]
    command = (str(python), "-m", f"benchmarks.serving.others.{package}_server", str(port))
    folders = {"PEER_VERSION_FOLDER": str(version), "PEER_TORCHSCRIPT": str(torchscript), "PYTHONPATH": str(ROOT)}
    with _running(command, {**os.environ, **folders}, torchscript.parent) as process:
        url = f"http://127.0.0.1:{port}{path}"
        _await(url, torchscript.with_name(body))
        yield Peer(name, url, process, body=body)


def _await(url: str, body: Path) -> None:
    """Return when an image is answered. Raises ``httpx.HTTPError``."""
    deadline = time.monotonic() + START_SECONDS
    headers = {"Content-Type": "application/json" if body.suffix == ".json" else "image/jpeg"}
    while True:
        try:
            answer = httpx.post(url, content=body.read_bytes(), headers=headers, trust_env=False, timeout=60.0)
            answer.raise_for_status()
            return
        except httpx.HTTPError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def in_process(version: Path, image: Path, batch: int, seconds: float, copies: str) -> dict[str, object]:
    """``benchmarks.serving.in_process``, in a process of its own."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.serving.in_process",
        *map(str, (version, image, batch, seconds, copies)),
    ]
    found: dict[str, object] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return found


@contextmanager
def _running(
    command: tuple[str, ...], environment: dict[str, str] | None, folder: Path | None
) -> Iterator[psutil.Process]:
    process = subprocess.Popen(
        command, env=environment, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT
    )
    server = psutil.Process(process.pid)
    try:
        yield server
    finally:
        started = server.children(recursive=True)
        process.terminate()
        process.wait(60)
        for left in psutil.wait_procs(started, timeout=10)[1]:  # LitServe leaves its processes behind
            left.kill()
