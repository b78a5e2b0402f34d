"""An engine stopped while clients that keep their connections alive send one request after the other."""

import signal

import httpx
import pytest

from handlers.sockets import management_socket
from handlers.stack.probe import socket_problem
from tests.handlers.torchserve.conftest import Begun, MakeImage, Stack
from tests.support.present import present
from tests.support.servers.kept_alive import answered_meanwhile, check_none_was_cut, under_way
from tests.support.waiting import PATIENCE, wait_for

pytestmark = pytest.mark.slow


def test_no_request_is_cut(begun: Begun, make_image: MakeImage, engine: str) -> None:
    stack, _ = begun(drain_seconds=10)  # much longer than the questions below take
    process = present(stack.process)
    socket = str(management_socket(stack.settings))
    assert socket_problem(socket) == ""
    clients = under_way(f"{stack.settings.inference_url}/predictions/lucir", make_image())
    before = {client: client.seen["200"] for client in clients}
    process.send_signal(signal.SIGTERM)
    # Not ready, and yet it accepts and answers.
    assert "draining" in wait_for(lambda: socket_problem(socket), process)
    again = answered_meanwhile(clients)
    assert stack.post(make_image()).status_code == 200
    wait_for(again, process)
    found = measured(stack)
    assert process.wait(PATIENCE) == {"torchserve": 143, "uvicorn": 0}[engine]
    check_none_was_cut(clients, resets=1 if engine == "uvicorn" else 0)
    assert found['lucir_request_duration_seconds_count{code="200"}'] >= sum(before.values())
    assert found["lucir_batch_images_sum"] >= sum(before.values())
    assert found["lucir_queue_seconds_total"] > 0
    assert not any("worker" in name or "version" in name for name in found if name.startswith("lucir_"))
    stack.process = None


def measured(stack: Stack) -> dict[str, float]:
    """The samples of the metrics page by name and labels."""
    url = f"http://127.0.0.1:{stack.settings.serving.metrics_port}/metrics"
    text = httpx.get(url, trust_env=False, timeout=60).text
    lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {name: float(number) for name, _, number in lines}
