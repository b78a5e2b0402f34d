"""TorchServe stopped while nobody is connected; with clients: tests/handlers/server/test_drain_contract.py."""

import signal
import subprocess
from collections.abc import Callable, Iterator

import pytest

from handlers.torchserve.launch import management_socket, prepare_launch
from handlers.torchserve.model_status import DRAINING_MARKER
from tests.handlers.torchserve.conftest import Stack
from tests.support.present import present
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


def test_nobody_waits_for_clients_that_are_not_there(drained: Stack) -> None:
    """Without a client it ends at once, and it takes its marker along."""
    process = present(drained.process)
    wait_for(lambda: management_socket(drained.settings).exists(), process)
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE) == 143
    assert not management_socket(drained.settings).with_name(DRAINING_MARKER).exists()
    drained.process = None
