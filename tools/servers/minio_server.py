"""MinIO as a process: the reference for everything S3."""

import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tools.servers.server import (
    ACCESS_KEY,
    REGION,
    SECRET_KEY,
    Server,
    answers,
    cache,
    free_port,
    process,
    wait_until,
)

MINIO_MISSING = "no MinIO server: run tools/servers/install_minio.sh, or set MINIO_BINARY to its binary"


def find_minio() -> str | None:
    """The server's binary: named by MINIO_BINARY, where install_minio.sh leaves it, or on the path."""
    built = max(cache().glob("minio-*/minio"), key=lambda path: path.parent.name, default=None)
    return os.environ.get("MINIO_BINARY") or (str(built) if built else shutil.which("minio"))


@contextmanager
def minio_server(
    folder: Path, *, certificates: Path | None = None, port: int | None = None, end: int = signal.SIGTERM
) -> Iterator[Server]:
    """Run it on ``folder``; with TLS when ``certificates`` holds ``public.crt`` and ``private.key``.

    Its region is set: without that it takes a request that was signed for any.
    """
    binary = find_minio()
    if binary is None:
        raise RuntimeError(MINIO_MISSING)
    folder.mkdir(parents=True, exist_ok=True)
    address = f"127.0.0.1:{port or free_port()}"
    command = [binary, "server", "--quiet", "--address", address, str(folder / "data")]
    if certificates is not None:
        command[2:2] = ["--certs-dir", str(certificates)]
    environment = {
        "HOME": str(folder),
        "MINIO_ROOT_USER": ACCESS_KEY,
        "MINIO_ROOT_PASSWORD": SECRET_KEY,
        "MINIO_REGION": REGION,
        "MINIO_BROWSER": "off",
    }
    authority = certificates / "public.crt" if certificates is not None else None
    server = Server(f"{'https' if certificates else 'http'}://{address}", "minio", ca_file=authority)
    log = folder / "log"
    with process(command, log, environment, end) as child:
        wait_until(lambda: answers(f"{server.endpoint}/minio/health/cluster", authority), child, log)
        yield server
