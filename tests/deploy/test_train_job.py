"""The job of k8s/components/train-job as a process: its arguments and variables, the settings of the base, a MinIO."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from handlers.stack.ports import free_ports
from model_store.versions import VersionStore
from tests.support.processes.stack import DIGITS
from tests.support.stores.published import pointed
from tools.servers.minio_server import MINIO_MISSING, find_minio, minio_server
from tools.servers.server import SECRET_KEY

pytestmark = [pytest.mark.slow, pytest.mark.skipif(find_minio() is None, reason=MINIO_MISSING)]

JOB_SECONDS = 200
IMAGES = 8


def learner(root: Path) -> tuple[list[str], dict[str, str]]:
    """Arguments and variables of its container."""
    job = yaml.safe_load((root / "k8s/components/train-job/train-job.yaml").read_text(encoding="utf-8"))
    pod = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    variables = {item["name"]: item["value"] for item in container["env"]}
    return container["args"], variables


def mounted(folder: Path, root: Path, endpoint: str, bucket: str) -> Path:
    """The settings of the base at this store and on this machine, to learn digits."""
    settings = yaml.safe_load((root / "k8s/base/lucir.yaml").read_text(encoding="utf-8"))
    settings |= {"data": str(folder / "data"), "store": f"s3://{bucket}"}
    settings["s3"] |= {"endpoint": endpoint}
    (port,) = free_ports(1)  # other tests run beside this one
    settings["updater"] |= {"port": port}
    settings["serving"] |= {"management_socket": str(folder / "data/run/management.sock")}
    settings |= {"learning": {"preset": "photo"}, "gate": {"max_old_accuracy_loss": 1, "min_new_accuracy": 0}}
    path = folder / "lucir.yaml"
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return path


@pytest.mark.timeout(2 * JOB_SECONDS + 100)
def test_the_job_learns_what_waits_and_ends(root: Path, tmp_path: Path) -> None:
    arguments, variables = learner(root)
    with minio_server(tmp_path / "minio") as server:
        bucket = server.bucket()
        store = server.open(bucket)
        for digit in "01":
            for number, image in enumerate(DIGITS.train[digit][:IMAGES]):
                store.write(f"incoming/{digit}/{number}.png", image)
            store.write(f"incoming/{digit}/_READY", b"")
        files = {"access-key": server.access_key, "secret-key": SECRET_KEY}
        for name, text in files.items():
            (tmp_path / name).write_text(text, encoding="utf-8")
        places = {
            "/etc/lucir/lucir.yaml": str(mounted(tmp_path, root, server.endpoint, bucket)),
            **{f"/etc/lucir-s3/{name}": str(tmp_path / name) for name in files},
        }
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("LUCIR_")},
            **{name: places[value] for name, value in variables.items()},
        }
        for _ in ("learns", "has nothing to do"):
            job = subprocess.run(
                [sys.executable, *arguments[1:]],
                cwd=root,
                env=environment,
                capture_output=True,
                text=True,
                timeout=JOB_SECONDS,
                check=False,
            )
            assert job.returncode == 0, job.stderr[-3000:]
        assert pointed(VersionStore(store)) == 1
        assert list(store.list("incoming/")) == []
