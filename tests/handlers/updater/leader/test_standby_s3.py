"""Two real updaters on one bucket of a real MinIO: the lease holds there too."""

import os
import signal
from pathlib import Path

import pytest

from handlers.settings import Settings
from model_store.versions import VersionStore
from tests.handlers.conftest import DigitFiles
from tests.support.processes.side import Side
from tests.support.stores.bucket import BUCKET, contents, ended, put
from tests.support.waiting import wait_for
from tools.servers.minio_server import MINIO_MISSING, find_minio, minio_server

pytestmark = pytest.mark.slow


@pytest.mark.skipif(find_minio() is None, reason=MINIO_MISSING)
def test_a_standby_goes_on_with_what_the_other_began(
    bucket_settings: Settings, digit_files: DigitFiles, tmp_path: Path
) -> None:
    port = int(os.environ["LUCIR_S3__ENDPOINT"].rsplit(":", 1)[1])
    with minio_server(tmp_path / "minio", port=port) as server:
        server.admin().make_bucket(BUCKET)
        objects = server.open(BUCKET)
        one = Side(bucket_settings, f"s3://{BUCKET}", "one")
        two: Side | None = None
        try:
            one.wait_for("active")
            two = Side(bucket_settings, f"s3://{BUCKET}", "two")
            two.wait_for("standby")

            # The active one freezes while it learns: when it wakes, its work is another's, and it writes nothing more.
            dropped = [
                sha for digit in (0, 1) for sha in put(server.admin(), f"digit-{digit}", digit_files[digit][:12])
            ]
            one.wait_learning()
            os.kill(one.process.pid, signal.SIGSTOP)
            assert wait_for(lambda: ended(objects, "000001"), two.process).result == "published"
            os.kill(one.process.pid, signal.SIGCONT)
            one.wait_for("standby")
            assert contents(objects, "archive/") == sorted(dropped)

            # The active one is killed while it learns.
            dropped += put(server.admin(), "two", digit_files[2][:12])
            two.wait_learning()
            two.end()
            done = wait_for(lambda: ended(objects, "000002"), one.process)
            assert (done.result, done.version) == ("published", 2)
            assert one.state() == "active"
        finally:
            one.end()
            if two is not None:
                two.end()
        assert contents(objects, "archive/") == sorted(dropped)
        assert contents(objects, "incoming/") == contents(objects, "rejected/") == []
        assert VersionStore(objects).numbers() == [1, 2]
