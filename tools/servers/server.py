"""A running S3 server, and the two ways into it: our store, and a client of somebody else."""

import os
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import urllib3
from minio import Minio

from handlers.stack.ports import free_ports
from model_store.connect import open_store
from model_store.objects import ObjectStore

REGION = "us-east-1"
ACCESS_KEY = "lucir-test-key"
SECRET_KEY = "lucir-test-secret"
START_SECONDS = 120.0
"""Much longer than any server takes: the machine may be busy."""


@dataclass(frozen=True)
class Server:
    """Where a server listens, what it is, and what it cannot do."""

    endpoint: str
    kind: str
    conditional: bool = True
    """Whether it honours preconditions."""
    conditional_deletions: bool | None = False
    """Whether those of deletions, too; None where nobody has tried."""
    flat: bool = True
    """Whether keys are plain names, as S3 has it: behind some servers lie real files and folders."""
    ca_file: Path | None = None
    access_key: str = ACCESS_KEY

    def admin(self) -> Minio:
        """A client of somebody else: what people do to the bucket goes through it, not through our code."""
        pool = urllib3.PoolManager(ca_certs=str(self.ca_file) if self.ca_file else None)
        secure = self.endpoint.startswith("https://")
        host = self.endpoint.partition("://")[2]
        return Minio(host, self.access_key, SECRET_KEY, secure=secure, region=REGION, http_client=pool)

    def bucket(self) -> str:
        """A new bucket."""
        name = f"lucir-{uuid.uuid4().hex[:12]}"
        self.admin().make_bucket(name)
        return name

    def open(self, bucket: str, **options: Any) -> ObjectStore:
        """Our store of a bucket."""
        settings: dict[str, Any] = {
            "endpoint": self.endpoint,
            "region": REGION,
            "keys": lambda: (self.access_key, SECRET_KEY),
        }
        return open_store(f"s3://{bucket}", **(settings | {"ca_file": self.ca_file} | options))


@contextmanager
def process(
    command: list[str], log: Path, environment: Mapping[str, str] | None = None, end: int = signal.SIGTERM
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a server's process; its output goes to ``log``; in the end it gets the signal ``end``."""
    with log.open("ab") as output:
        child = subprocess.Popen(
            command,
            env={"PATH": os.environ["PATH"], **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield child
    finally:
        child.send_signal(end)
        try:
            child.wait(20)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait(20)


def wait_until(ready: Callable[[], bool], child: "subprocess.Popen[bytes]", log: Path) -> None:
    """Wait until ``ready``; a process that ended or never got ready is shown with its last lines."""
    deadline = time.monotonic() + START_SECONDS
    while not ready():
        if child.poll() is not None or time.monotonic() > deadline:
            tail = "\n".join(log.read_text(errors="replace", encoding="utf-8").splitlines()[-20:])
            raise RuntimeError(f"{child.args!r} is not ready (exit status {child.poll()}):\n{tail}")
        time.sleep(0.05)


def answers(url: str, ca_file: Path | None = None, statuses: range = range(200, 300)) -> bool:
    """Whether a GET of ``url`` is answered with one of ``statuses``."""
    with urllib3.PoolManager(retries=False, timeout=2.0, ca_certs=str(ca_file) if ca_file else None) as pool:
        try:
            return pool.request("GET", url).status in statuses
        except urllib3.exceptions.HTTPError:
            return False


def free_port() -> int:
    """A port that nothing listens on at this moment."""
    return free_ports(1)[0]


def cache() -> Path:
    """Where the install scripts leave what they built or fetched."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lucir"
