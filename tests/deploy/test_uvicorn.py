"""The engine `uvicorn` in containers: the manifests that choose it, and its process as the image starts it."""

import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from handlers.stack.ports import free_ports
from tests.support.kubernetes import pods, render
from tests.support.processes.foreign_user import FOREIGN_MISSING, UID, can_be_foreign, start_foreign
from tests.support.waiting import PATIENCE, wait_for

ENGINE = {"name": "LUCIR_SERVING__ENGINE", "value": "uvicorn"}


def test_compose_starts_the_other_image(root: Path, compose: dict[str, Any]) -> None:
    services = yaml.safe_load((root / "deploy" / "compose.uvicorn.yaml").read_text())["services"]
    assert set(services) < set(compose["services"])
    assert services["serving"]["build"]["target"] == "server"
    assert all(service["environment"]["LUCIR_SERVING__ENGINE"] == "uvicorn" for service in services.values())


@pytest.mark.parametrize("replicas", [False, True])
def test_kubernetes_starts_the_other_image_everywhere(
    root: Path, program: Callable[[str, str], str], tmp_path: Path, replicas: bool
) -> None:
    shutil.copytree(root / "k8s", tmp_path / "k8s")
    components = ["replicas", "uvicorn"] if replicas else ["uvicorn"]
    overlay = {"resources": ["../../base"], "components": [f"../../components/{name}" for name in components]}
    (tmp_path / "k8s/overlays/own").mkdir()
    (tmp_path / "k8s/overlays/own/kustomization.yaml").write_text(json.dumps(overlay))
    found = pods(render(program("kubectl", "kubernetes-client"), tmp_path / "k8s/overlays/own"))
    assert len(found) == 1 + replicas
    for pod in found:
        containers = pod["containers"]
        names = {each["image"].partition(":")[0] for each in containers}
        assert {"lucir-server"} <= names <= {"lucir-server", "lucir-updater"}
        assert len(containers) == 2
        assert all(ENGINE in each["env"] for each in containers)


@pytest.mark.slow
@pytest.mark.skipif(not can_be_foreign(), reason=FOREIGN_MISSING)
def test_the_process_needs_no_more_than_the_image_gives(tmp_path: Path) -> None:
    port, metrics = free_ports(2)
    settings = {
        ENGINE["name"]: ENGINE["value"],
        "LUCIR_SERVING__PORT": str(port),
        "LUCIR_SERVING__METRICS_PORT": str(metrics),
    }
    log = tmp_path / "log"
    process = start_foreign("tests.support.servers.bare_server", tmp_path / "data", tmp_path / "store", settings, log)
    try:
        assert wait_for(lambda: answered(port), process) == {"status": "Healthy"}
        ids = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii").splitlines()
        assert f"Uid:\t{UID}\t{UID}\t{UID}\t{UID}" in ids
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()


def answered(port: int) -> Any:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/ping", trust_env=False, timeout=60).json()
    except httpx.HTTPError:
        return None
