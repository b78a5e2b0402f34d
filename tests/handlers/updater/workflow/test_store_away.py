"""A real S3 server that goes away in the middle of an update, and a folder that grows meanwhile."""

import os
import signal
from pathlib import Path

import pytest

from handlers.settings import Settings
from model_store.versions import VersionStore
from tests.handlers.conftest import DigitFiles, Launch
from tests.support.processes.updater_process import end, hold_child, status_of
from tests.support.stores.bucket import BUCKET, contents, ended, put
from tests.support.waiting import wait_for
from tools.servers.minio_server import MINIO_MISSING, find_minio, minio_server

pytestmark = pytest.mark.slow


@pytest.mark.skipif(find_minio() is None, reason=MINIO_MISSING)
def test_the_server_is_killed_while_a_growing_folder_is_learnt(
    bucket_settings: Settings,
    digit_files: DigitFiles,
    tmp_path: Path,
    launch: Launch,
) -> None:
    port = int(os.environ["LUCIR_S3__ENDPOINT"].rsplit(":", 1)[1])
    with minio_server(tmp_path / "minio", port=port, end=signal.SIGKILL) as server:
        server.admin().make_bucket(BUCKET)
        process = launch(bucket_settings)
        first = [put(server.admin(), name, digit_files[digit][:12]) for name, digit in (("zero", 0), ("one", 1))]
        child = hold_child(bucket_settings, process)
        # While it learns, more comes into a folder that it has taken up, and a file of which half has arrived.
        later = put(server.admin(), "zero", digit_files[0][12:20], first=12)
        half = put(server.admin(), "zero", [digit_files[0][20][:60]], first=20)
        os.kill(child, signal.SIGCONT)

    # The server is gone: learning goes on, nothing is published, and the reason is shown.
    wait_for(lambda: not status_of(bucket_settings)["store"]["ok"], process)
    assert "127.0.0.1" in status_of(bucket_settings)["store"]["error"]
    assert process.poll() is None

    with minio_server(tmp_path / "minio", port=port) as server:
        objects = server.open(BUCKET)
        assert wait_for(lambda: ended(objects, "000001"), process).result == "published"
        assert contents(objects, "archive/") == sorted(first[0] + first[1])
        assert wait_for(lambda: ended(objects, "000002"), process).result == "published"
        assert contents(objects, "archive/") == sorted(first[0] + first[1] + later)
        assert contents(objects, "rejected/") == half
        assert contents(objects, "incoming/") == []
        assert VersionStore(objects).numbers() == [1, 2]
        assert status_of(bucket_settings)["lease"]["state"] == "active"
        end(process)
