"""TorchServe stopped while clients that keep their connections alive send one request after the other."""

import signal
import subprocess
from collections.abc import Callable, Iterator

import httpx
import pytest

from handlers.stack.probe import socket_problem
from handlers.torchserve.launch import management_socket, prepare_launch
from handlers.torchserve.model_status import DRAINING_MARKER
from handlers.torchserve.reconcile import Reconciler
from tests.handlers.torchserve.conftest import MakeImage, Stack
from tests.support.kept_alive import answered_meanwhile, check_none_was_cut, under_way
from tests.support.waiting import PATIENCE, wait_for

pytestmark = pytest.mark.slow


@pytest.fixture
def drained(new_stack: Callable[..., Stack]) -> Iterator[Stack]:
    """As a container starts it."""
    stack = new_stack(drain_seconds=2)
    launch = prepare_launch(stack.settings)
    with (stack.scratch / "torchserve.log").open("ab") as log:
        stack.process = subprocess.Popen(
            launch.frontend,
            env=launch.environment,
            cwd=launch.folder,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    yield stack
    stack.stop(signal.SIGKILL)


def test_no_request_is_cut(drained: Stack, make_image: MakeImage) -> None:
    process = drained.process
    assert process is not None
    drained.publish(1)
    with Reconciler(drained.settings, drained.versions) as reconciler:
        drained.serve(reconciler, 1)
    socket = str(management_socket(drained.settings))
    assert socket_problem(socket) == ""
    clients = under_way(f"{drained.settings.inference_url}/predictions/lucir", make_image())
    before = {client: client.seen["200"] for client in clients}
    before = {client: client.seen["200"] for client in clients}
    process.send_signal(signal.SIGTERM)
    # Not ready, and yet it accepts and answers.
    assert "draining" in wait_for(lambda: socket_problem(socket), process)
    measured = _measured(drained)
    measured = _measured(drained)
    again = answered_meanwhile(clients)
    assert drained.post(make_image()).status_code == 200
    wait_for(again, process)
    assert process.wait(PATIENCE) == 143
    check_none_was_cut(clients)
    assert measured['lucir_request_duration_seconds_count{code="200"}'] >= sum(before.values())
    assert measured["lucir_batch_images_sum"] >= sum(before.values())
    assert measured["lucir_queue_seconds_total"] > 0
    assert not any("worker" in name or "version" in name for name in measured if name.startswith("lucir_"))
    assert measured['lucir_request_duration_seconds_count{code="200"}'] >= sum(before.values())
    assert measured["lucir_batch_images_sum"] >= sum(before.values())
    assert measured["lucir_queue_seconds_total"] > 0
    assert not any("worker" in name or "version" in name for name in measured if name.startswith("lucir_"))
    drained.process = None


def _measured(stack: Stack) -> dict[str, float]:
    """The samples of the metrics page by name and labels."""
    url = f"http://127.0.0.1:{stack.settings.serving.metrics_port}/metrics"
    text = httpx.get(url, trust_env=False, timeout=60).text
    lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {name: float(number) for name, _, number in lines}


def _measured(stack: Stack) -> dict[str, float]:
    """The samples of the metrics page by name and labels."""
    url = f"http://127.0.0.1:{stack.settings.serving.metrics_port}/metrics"
    text = httpx.get(url, trust_env=False, timeout=60).text
    lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {name: float(number) for name, _, number in lines}


def test_nobody_waits_for_clients_that_are_not_there(drained: Stack, make_image: MakeImage) -> None:
    """Without a client it ends at once, and it takes its marker along."""
    process = drained.process
    assert process is not None
    wait_for(lambda: management_socket(drained.settings).exists(), process)
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE) == 143
    assert not management_socket(drained.settings).with_name(DRAINING_MARKER).exists()
    drained.process = None
