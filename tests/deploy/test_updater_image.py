"""The updater's image, built and run: read-only, without rights, as user 10001; it learns what is dropped.

By ``make test-deploy-updater``: its build needs 30 GB of disk for a while, and takes ten to twenty minutes.
"""

import os
import sys
from pathlib import Path

import httpx
import pytest

from handlers.stack.ports import free_ports
from tests.deploy.test_images import LOCKED_DOWN
from tests.support.processes.stack import folders
from tests.support.waiting import wait_for
from tools.servers.containers import PODMAN_MISSING, Podman, base_folder

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(6000),
    pytest.mark.skipif(not os.environ.get("TEST_DEPLOY_UPDATER"), reason="by make test-deploy-updater only: 30 GB"),
    pytest.mark.skipif(base_folder() is None, reason=PODMAN_MISSING),
]

TAG = "localhost/lucir-updater:test"
USER = 10001


def test_it_learns_as_a_user_without_rights_on_a_read_only_root(root: Path, tmp_path: Path) -> None:
    podman = Podman(tmp_path)
    podman.build(root, "updater", TAG, seconds=5400)
    whole = int(podman.run("image", "inspect", "--format", "{{.Size}}", TAG).stdout) // 1_000_000
    sys.stdout.write(f"image {whole} MB\n")
    store, volume = tmp_path / "store", f"lucir-test-{os.getpid()}-updater"
    folders(store / "incoming", "01", count=12)
    for path in (store, *store.rglob("*")):
        os.chown(path, USER, USER)
    (port,) = free_ports(1)
    options = (
        *(*LOCKED_DOWN, "--env", "LUCIR_STORE=file:///store", "--env", f"LUCIR_UPDATER__PORT={port}"),
        *("--volume", f"{volume}:/var/lib/lucir", "--volume", f"{store}:/store"),
    )
    with podman.container(*options, TAG) as updater:

        def learnt() -> dict[str, object] | None:
            try:
                last = httpx.get(f"http://127.0.0.1:{port}/api/status", timeout=10, trust_env=False).json()[
                    "last_update"
                ]
            except httpx.TransportError:
                return None
            return last

        assert wait_for(learnt)["result"] == "published"
        podman.run("exec", updater, "python", "-m", "handlers.stack.page_probe")
        assert podman.run("exec", updater, "id", "-u").stdout.strip() == str(USER)
        wrote = podman.run("exec", updater, "python", "-c", "open('/x', 'w')", check=False)
        assert "Read-only file system" in wrote.stderr
        assert (store / "versions" / "1" / "manifest.json").stat().st_uid == USER
        podman.run("stop", "--time", "60", updater)
        assert podman.run("inspect", "--format", "{{.State.ExitCode}}", updater).stdout.strip() in {"0", "143"}
    podman.run("volume", "rm", "--force", volume, check=False)
