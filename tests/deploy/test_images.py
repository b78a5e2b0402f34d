"""The serving image, built and run: read-only, without rights, as user 10001; it answers from an older store.

By ``make test-deploy``: a build takes minutes.
"""

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from handlers.stack.ports import free_ports
from tests.support.stores.old_store import OLD
from tests.support.waiting import wait_for
from tools.servers.containers import PODMAN_MISSING, Podman, base_folder

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(not os.environ.get("TEST_DEPLOY"), reason="by make test-deploy only: a build takes minutes"),
    pytest.mark.skipif(base_folder() is None, reason=PODMAN_MISSING),
]

TAG = "localhost/lucir-serving:test"
LOCKED_DOWN = (
    *("--network", "host", "--read-only", "--tmpfs", "/tmp:mode=1777,size=512m", "--cap-drop", "ALL"),
    *("--security-opt", "no-new-privileges", "--memory", "2g"),
)


@pytest.fixture(scope="module")
def podman(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Podman:
    made = Podman(tmp_path_factory.mktemp("podman"))
    made.build(root, "serving", TAG)
    return made


def inside(podman: Podman, *command: str) -> str:
    return podman.run("run", "--rm", *LOCKED_DOWN, TAG, *command).stdout


def test_its_environment_is_small_and_has_no_torch(podman: Podman) -> None:
    megabytes = int(inside(podman, "du", "-sm", "/opt/lucir").split()[0])
    whole = int(podman.run("image", "inspect", "--format", "{{.Size}}", TAG).stdout) // 1_000_000
    sys.stdout.write(f"environment {megabytes} MiB, image {whole} MB\n")
    assert megabytes < 450
    found = inside(podman, "python", "-c", "import importlib.util as u; print(u.find_spec('torch'))")
    assert found.strip() == "None"


def test_it_runs_as_a_user_without_rights_on_a_read_only_root(podman: Podman) -> None:
    program = "import os; print(os.getuid(), os.getgid(), os.access('/opt/lucir', os.W_OK)); open('/x', 'w')"
    done = podman.run("run", "--rm", *LOCKED_DOWN, TAG, "python", "-c", program, check=False)
    assert done.stdout.split() == ["10001", "10001", "False"]
    assert "Read-only file system" in done.stderr


@dataclass
class Running:
    """Server and follower, and where the server answers."""

    serving: str
    follower: str
    url: str


@pytest.fixture(scope="module", params=["torchserve", "uvicorn"])
def running(
    request: pytest.FixtureRequest, podman: Podman, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    port, metrics, own = free_ports(3)
    volume = f"lucir-test-{os.getpid()}-{request.param}"
    settings = {
        "LUCIR_STORE": "file:///store",
        "LUCIR_SERVING__ENGINE": request.param,
        "LUCIR_SERVING__PORT": port,
        "LUCIR_SERVING__METRICS_PORT": metrics,
        "LUCIR_FOLLOWER__PORT": own,
    }
    options = [
        *LOCKED_DOWN,
        *("--volume", f"{volume}:/var/lib/lucir", "--volume", f"{OLD}:/store:ro"),
        *(word for name, value in settings.items() for word in ("--env", f"{name}={value}")),
    ]
    engine = [] if request.param == "torchserve" else ["python", "-m", "handlers.server"]
    with (
        podman.container(*options, TAG, *engine) as serving,
        podman.container(*options, TAG, "python", "-m", "handlers.follower") as follower,
    ):
        yield Running(serving, follower, f"http://127.0.0.1:{port}")
    podman.run("volume", "rm", "--force", volume, check=False)


def test_it_answers_from_a_store_of_an_older_release(podman: Podman, running: Running) -> None:
    image = next(OLD.glob("archive/000001/zero/*.png")).read_bytes()

    def answer() -> dict[str, object] | None:
        assert podman.run("inspect", "--format", "{{.State.Running}}", running.serving).stdout.strip() == "true", (
            podman.run("logs", running.serving).stderr[-3000:]
        )
        try:
            response = httpx.post(f"{running.url}/predictions/lucir", content=image, timeout=10)
        except httpx.TransportError:
            return None
        return response.json() if response.status_code == 200 else None

    found = wait_for(answer)
    assert found["model_version"] == 4
    assert {item["class"] for item in found["predictions"]} == {"zero", "one", "two", "trois"}
    assert podman.run("healthcheck", "run", running.serving, check=False).returncode == 0
    state = json.loads(podman.run("inspect", running.serving).stdout)[0]
    assert state["Config"]["User"] == "10001:10001"
    assert podman.run("stop", "--time", "60", running.serving)
    ended = json.loads(podman.run("inspect", running.serving).stdout)[0]["State"]
    assert ended["ExitCode"] in {0, 143}  # ended by itself, or as SIGTERM ends it; 137 would be killed
