"""rclone's ``serve s3``: a bad server, which ignores preconditions and takes them for nothing."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tools.servers.server import ACCESS_KEY, SECRET_KEY, Server, answers, cache, free_port, process, wait_until

RCLONE_MISSING = "no rclone: run tools/servers/install_rclone.sh, or set RCLONE_BINARY (1.65 or newer)"


def find_rclone() -> str | None:
    """The binary: named by RCLONE_BINARY, or where install_rclone.sh leaves it (Debian's is too old)."""
    built = sorted(str(path) for path in cache().glob("rclone-*/rclone"))
    return os.environ.get("RCLONE_BINARY") or (built[-1] if built else None)


@contextmanager
def rclone_server(folder: Path) -> Iterator[Server]:
    """Serve ``folder``: its folders are the buckets."""
    binary = find_rclone()
    if binary is None or shutil.which(binary) is None:
        raise RuntimeError(RCLONE_MISSING)
    data, log = folder / "data", folder / "log"
    data.mkdir(parents=True, exist_ok=True)
    address = f"127.0.0.1:{free_port()}"
    command = [binary, "serve", "s3", "--addr", address, "--auth-key", f"{ACCESS_KEY},{SECRET_KEY}"]
    command += ["--config", "", str(data)]
    server = Server(f"http://{address}", "rclone", conditional=False, flat=False)
    with process(command, log, {"HOME": str(folder)}) as child:
        wait_until(lambda: answers(server.endpoint, statuses=range(200, 500)), child, log)
        yield server
