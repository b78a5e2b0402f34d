"""The processes of the images without a container: as a user that nobody knows, on a read-only root."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from handlers.stack.ports import free_ports
from tests.support.processes.foreign_user import FOREIGN_MISSING, UID, can_be_foreign, start_foreign
from tests.support.stores.old_store import OLD
from tests.support.waiting import PATIENCE, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not can_be_foreign(), reason=FOREIGN_MISSING)]


@dataclass
class Pair:
    """Server and updater, and where they answer."""

    serving: "subprocess.Popen[bytes]"
    updater: "subprocess.Popen[bytes]"
    serving_url: str
    updater_url: str
    log: Path

    def answer(self, image: bytes) -> int | None:
        """The version that answers."""
        assert self.serving.poll() is None, self.log.read_text(encoding="utf-8")[-3000:]
        assert self.updater.poll() is None, self.log.read_text(encoding="utf-8")[-3000:]
        try:
            answer = httpx.post(f"{self.serving_url}/predictions/lucir", content=image, timeout=60, trust_env=False)
        except httpx.TransportError:
            return None
        return answer.json()["model_version"] if answer.status_code == 200 else None


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    shutil.copytree(OLD, tmp_path / "store")
    port, metrics, page = free_ports(3)
    settings = {
        "LUCIR_SERVING__PORT": str(port),
        "LUCIR_SERVING__METRICS_PORT": str(metrics),
        "LUCIR_UPDATER__PORT": str(page),
        "LUCIR_UPDATER__LEASE_SECONDS": "1",
        "LUCIR_UPDATER__POLL_SECONDS": "0.5",
        "LUCIR_GATE__MAX_OLD_ACCURACY_LOSS": "1",
    }
    log = tmp_path / "log"
    started = [
        start_foreign(module, tmp_path / "data", tmp_path / "store", settings, log)
        for module in ("handlers.torchserve", "handlers.updater")
    ]
    try:
        yield Pair(*started, f"http://127.0.0.1:{port}", f"http://127.0.0.1:{page}", log)
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait(PATIENCE)


def test_it_serves_and_learns_as_a_foreign_user(pair: Pair, tmp_path: Path) -> None:
    image = next(OLD.glob("archive/000001/zero/*.png")).read_bytes()
    # The old store has a request that still waits: carrying it out takes a child, and makes version 5.
    assert wait_for(lambda: (version := pair.answer(image)) is not None and version >= 5)
    assert httpx.get(f"{pair.updater_url}/readyz", timeout=60, trust_env=False).status_code == 200
    for process in (pair.serving, pair.updater):
        status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
        fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        assert fields["Uid"].split() == [str(UID)] * 4
        assert int(fields["CapEff"], 16) == int(fields["CapBnd"], 16) == 0
        mounts = Path(f"/proc/{process.pid}/mounts").read_text(encoding="utf-8").splitlines()
        (root,) = [line.split() for line in mounts if line.split()[1] == "/"]
        assert "ro" in root[3].split(",")
    assert owners(tmp_path / "data", tmp_path / "store") == {UID}


def owners(*folders: Path) -> set[int]:
    """The user ids of everything below folders that are still written to; what goes meanwhile belongs to nobody."""
    found: set[int] = set()
    for folder in folders:
        for parent, names, files in os.walk(folder):
            for name in [*names, *files]:
                with contextlib.suppress(FileNotFoundError):
                    found.add((Path(parent) / name).lstat().st_uid)
    return found
