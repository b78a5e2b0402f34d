"""``lucir up --minio``: the whole story through an S3 server of the stack's own, in a bucket that others use too."""

import io
import re
from pathlib import Path

import pytest
from minio import Minio

from handlers.settings import Settings
from handlers.stack.minio import key_files
from tests.support.processes.stack import folders, running
from tests.support.waiting import wait_for
from tools.servers.minio_server import MINIO_MISSING, find_minio

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

FOREIGN = {"backup/1.tar": b"1", "incomingx/cat/1.png": b"2", "versions-of-ours/1/model.onnx": b"3", "x": b"4"}


def test_a_drop_is_learnt_through_minio_and_nothing_of_others_is_touched(tmp_path: Path) -> None:
    if find_minio() is None:
        pytest.skip(MINIO_MISSING)
    with running(tmp_path / "data", "--minio") as stack:
        access_key, secret_key = (file.read_text() for file in key_files(Settings(data=stack.data)))
        assert stack.record.store == "s3://lucir"
        client = Minio(stack.record.s3["endpoint"].removeprefix("http://"), access_key, secret_key, secure=False)
        for key, data in FOREIGN.items():
            client.put_object("lucir", key, io.BytesIO(data), len(data))
        assert stack.drop(folders(tmp_path / "first", "01"))["version"] == 1
        assert stack.served() == 1
        ready = stack.output().count("minio is ready")
        stack.process_like("minio server").kill()
        wait_for(lambda: stack.output().count("minio is ready") > ready)
        assert stack.drop(folders(tmp_path / "second", "2"))["version"] == 2
        assert "served version" in stack.run("status").stdout
        said = stack.output() + stack.run("versions").stdout + (stack.data / "run" / "stack.json").read_text()
        assert {key: client.get_object("lucir", key).read() for key in FOREIGN} == FOREIGN
        known = re.compile(r"(incoming|archive|rejected|versions|updates|requests|lease)[/.]|\.lucir/")
        keys = [entry.object_name for entry in client.list_objects("lucir", recursive=True)]
        assert [key for key in keys if not known.match(key)] == sorted(FOREIGN)
        stack.stop()
    assert secret_key not in said
    assert secret_key not in "".join(file.read_text() for file in (tmp_path / "data" / "run" / "logs").iterdir())
