"""Killed processes, stops, and neighbours: nothing is lost, nothing is left, nobody is disturbed."""

import json
import os
import signal
import subprocess
from pathlib import Path

import psutil
import pytest

from handlers.stack.ports import free_ports
from tests.support.processes.stack import LUCIR, Stack, digit_image, environment, folders, running, wait_gone
from tests.support.waiting import PATIENCE, wait_for
from tools.processes import process_tree

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

JAVA, WORKER, UPDATER = "ModelServer", "model_service_worker", "-m handlers.updater$"


def try_up(*options: object) -> subprocess.CompletedProcess[str]:
    """``lucir up`` that is expected to refuse."""
    command = [*LUCIR, "up", *map(str, options)]
    return subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=PATIENCE, check=False)


def test_a_killed_torchserve_comes_back_with_the_version_it_served(learnt: Stack) -> None:
    before = learnt.served()
    java, worker = learnt.process_like(JAVA), learnt.process_like(WORKER)
    java.kill()
    wait_gone([java, worker])
    wait_for(lambda: learnt.served() == before)
    assert learnt.process_like(JAVA) != java
    # TorchServe may answer a moment before the updater, which asks it too, has confirmed what it serves.
    wait_for(lambda: learnt.status()["served_version"] == before)


def test_a_killed_worker_comes_back(learnt: Stack) -> None:
    before = learnt.served()
    learnt.process_like(WORKER).kill()
    wait_for(lambda: learnt.served() == before)


def test_an_updater_killed_while_it_learns_goes_on(learnt: Stack, tmp_path: Path) -> None:
    before = learnt.served() or 0
    learnt.run("drop", folders(tmp_path, "6"))
    updater, learner = learnt.process_like(UPDATER), learnt.held_learner()
    updater.kill()
    wait_gone([updater, learner])
    assert learnt.served() == before  # serving never waits for learning
    wait_for(lambda: learnt.served() == before + 1)
    wait_for(lambda: not list(learnt.store.list("incoming/6")))  # served first, archived then
    rows = json.loads(learnt.run("versions", "--json").stdout)
    assert [row["new_classes"] for row in rows].count(["6"]) == 1
    assert len([info for info in learnt.store.list("archive/") if "/6/" in info.key and "_READY" not in info.key]) == 24


def test_a_taken_port_and_a_taken_data_folder_are_refused_and_disturb_nobody(learnt: Stack, tmp_path: Path) -> None:
    port = learnt.record.inference_url.rsplit(":", 1)[1]
    metrics, updater = free_ports(2)
    taken = try_up("--data", tmp_path / "x", "--port", port, "--metrics-port", metrics, "--updater-port", updater)
    assert taken.returncode == 1
    assert f"port {port}" in taken.stderr
    assert "--port" in taken.stderr
    same = try_up("--data", learnt.data, "--free-ports")
    assert same.returncode == 1
    assert f"another stack uses the data folder {learnt.data} (process {learnt.process.pid}" in same.stderr
    assert learnt.post(digit_image("0")).status_code == 200
    assert learnt.run("status").returncode == 0


def test_a_second_stack_beside_the_first_and_its_end(learnt: Stack, tmp_path: Path) -> None:
    """The second one has a data folder whose path is too long for sockets, and is stopped with SIGTERM."""
    before = learnt.served()
    with running(tmp_path / ("long" * 25)) as second:
        assert second.post(digit_image("0")).status_code == 503
        assert second.drop(folders(tmp_path / "first", "78"))["version"] == 1
        assert learnt.served() == before
        sockets = [Path(each) for each in _sockets(second)]
        assert len(sockets) >= 2
        second.stop(signal.SIGTERM)
        assert not [path for path in sockets if path.exists()]
        assert not list(second.data.rglob("*.sock*"))
    assert learnt.served() == before


def test_a_stop_while_learning_leaves_nothing_and_the_next_start_goes_on(tmp_path: Path) -> None:
    with running(tmp_path / "data") as stack:
        stack.run("drop", folders(tmp_path / "first", "01"))
        stack.held_learner().resume()
        stack.stop()
        assert stack.process.returncode == 0
        assert not (stack.data / "run" / "stack.json").exists()
    with running(tmp_path / "data") as stack:
        wait_for(lambda: stack.served() == 1)
        processes = process_tree(stack.process.pid)
        os.kill(stack.process.pid, signal.SIGKILL)
        wait_gone(processes)
    assert "no stack answers" in stack.run("status", check=False).stderr
    with running(tmp_path / "data") as stack:
        assert stack.served() == 1


def _sockets(stack: Stack) -> list[str]:
    """The Unix sockets with a path that the stack's processes listen on."""
    pids = {process.pid for process in process_tree(stack.process.pid)}
    return [
        each.laddr for each in psutil.net_connections("unix") if each.pid in pids and str(each.laddr).startswith("/")
    ]
