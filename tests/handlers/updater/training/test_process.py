"""The learning child as a real process: ready before there is work, one job after the other, gone when it is over."""

import errno
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from sklearn.datasets import load_digits

from handlers.settings import Settings
from handlers.updater.context.child import ChildProgress
from handlers.updater.errors import LearningError, MachineError, StopRequestedError
from handlers.updater.service import Updater
from handlers.updater.training import process
from handlers.updater.training.arrays import LABELS, TRAIN
from handlers.updater.training.job import explain
from handlers.updater.training.messages import RESULT, STATE, TASK, Result, Task
from handlers.updater.training.process import ERROR_FILE, EXIT_ENVIRONMENT, Child
from lucir_core.config.phase_config import load_preset
from lucir_core.memory.image_blobs import ImageBlobs
from model_store.directory.directory_store import DirectoryStore
from model_store.layout import HOLDOUT
from tests.handlers.conftest import Drop
from tests.support.quick_settings import changed
from tests.support.waiting import STOP_SECONDS, lives, wait_for

CLASSES = ("zero", "one")
NEVER = threading.Event()


@pytest.fixture
def child() -> Iterator[Child]:
    child = Child()
    yield child
    child.end()


@pytest.fixture
def arrays(tmp_path: Path) -> Path:
    """Fifteen images of each of two digits."""
    digits = load_digits()
    chosen = np.concatenate([np.flatnonzero(digits.target == label)[:15] for label in range(len(CLASSES))])
    images = np.repeat((digits.images[chosen] * 15.9).astype(np.uint8)[..., None], 3, axis=3)
    labels = digits.target[chosen].astype(np.int64)
    np.save(tmp_path / TRAIN, images)
    np.save(tmp_path / LABELS, labels)
    ImageBlobs.from_arrays(images[::4], labels[::4], CLASSES).save(tmp_path / HOLDOUT)
    return tmp_path


def write_task(folder: Path, arrays: Path, **more: str) -> Path:
    overrides = {"network": "resnet8", "size": 8, "resize": 8, "epochs": 1, "cbf": {"enabled": False}, **more}
    folder.mkdir()
    Task(
        kind="learnt",
        arrays=str(arrays),
        preset="digits",
        overrides=overrides,
        seed=1,
        classes=CLASSES,
        parent=None,
        parent_version=None,
        device="cpu",
        threads=1,
        nice=0,
    ).write(folder / TASK)
    return folder


def pid_of(child: Child) -> int:
    assert child.pid is not None
    return child.pid


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def children() -> list[int]:
    """Learning processes of this one."""
    return [child.pid for child in psutil.Process().children() if "handlers.updater.training" in child.cmdline()]


@pytest.mark.slow
def test_one_process_does_one_job_after_the_other_and_each_as_if_it_were_the_first(
    child: Child, arrays: Path, tmp_path: Path
) -> None:
    child.warm()
    pid = pid_of(child)
    child.warm()
    heard: list[ChildProgress] = []
    ticks: list[int] = []
    folders = [write_task(tmp_path / name, arrays) for name in ("first", "second")]
    for folder in folders:
        child.run("learn", folder, heard.append, NEVER, lambda: ticks.append(1))
        assert Result.read(folder / RESULT).exemplars == {"zero": 15, "one": 15}
        assert pid_of(child) == pid
    assert [one.stage for one in heard if one.ratio is None] == ["export"] * 2
    assert not any(one.done for one in heard)
    assert ticks
    first, second = ({path.name: path.read_bytes() for path in (f / STATE).glob("*.safetensors")} for f in folders)
    assert first == second
    assert first
    child.end()
    assert is_gone(pid)


@pytest.mark.parametrize("asked", [None, "5"])
def test_it_keeps_within_the_quota_of_a_container_unless_the_environment_says_otherwise(
    child: Child, monkeypatch: pytest.MonkeyPatch, asked: str | None
) -> None:
    monkeypatch.setattr(process, "few_threads", lambda: {"OMP_NUM_THREADS": "3"})
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if asked is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", asked)
    child.warm()
    threads = wait_for(lambda: psutil.Process(pid_of(child)).environ().get("OMP_NUM_THREADS"))  # empty during exec
    assert threads == (asked or "3")


def test_a_process_that_died_before_it_had_work_is_replaced(child: Child, caplog: pytest.LogCaptureFixture) -> None:
    child.warm()
    pid = pid_of(child)
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not lives(psutil.Process(pid)))
    child.warm()
    assert pid_of(child) != pid
    assert "ended before it had anything to do" in caplog.text


def test_a_full_disk_is_the_machine_s_fault_even_where_that_cannot_be_written(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert explain(tmp_path, full) == EXIT_ENVIRONMENT
    told = json.loads((tmp_path / ERROR_FILE).read_text(encoding="utf-8"))["message"]
    assert told == f"cannot write in {tmp_path}: No space left on device; free space on its filesystem"
    (tmp_path / ERROR_FILE).unlink()
    (tmp_path / ERROR_FILE).symlink_to("/dev/full")
    assert explain(tmp_path, full) == EXIT_ENVIRONMENT
    assert "cannot be left for the updater" in caplog.text


@pytest.mark.parametrize("allocate", [bytearray, lambda size: np.empty(size, np.uint8), torch.empty])
def test_memory_that_ran_out_is_told_with_what_helps(tmp_path: Path, allocate: Callable[[int], object]) -> None:
    """Under a limit (``ulimit -v``) nobody kills the process: Python, numpy and torch have an error each."""
    with pytest.raises((MemoryError, RuntimeError), match=r"^$|allocate") as caught:
        allocate(1 << 55)
    assert explain(tmp_path, caught.value) == 1
    told = json.loads((tmp_path / ERROR_FILE).read_bytes())["message"]
    assert "memory ran out: lower learning.overrides.batch_size" in told


@pytest.mark.slow  # three processes that import everything
def test_failures_are_told_apart_and_end_the_process(child: Child, arrays: Path, tmp_path: Path) -> None:
    weights = tmp_path / "weights.safetensors"
    weights.write_bytes(b"no weights")
    with pytest.raises(LearningError, match=r"weights\.safetensors is not a file of weights, or it is damaged"):
        child.run(
            "learn", write_task(tmp_path / "no-weights", arrays, weights=str(weights)), print, NEVER, lambda: None
        )
    (arrays / LABELS).unlink()
    with pytest.raises(MachineError, match=r"No such file .*labels\.npy"):
        child.run("learn", write_task(tmp_path / "no-arrays", arrays), print, NEVER, lambda: None)
    assert child.pid is None
    (arrays / LABELS).write_bytes(b"no array")
    with pytest.raises(LearningError, match="ValueError"):
        child.run("learn", write_task(tmp_path / "no-labels", arrays), print, NEVER, lambda: None)
    with pytest.raises(LearningError, match="ended with status 1"):
        child.run("learn", tmp_path / "no-task", print, NEVER, lambda: None)


def test_a_killed_process_is_told_of(child: Child, arrays: Path, tmp_path: Path) -> None:
    child.warm()
    os.kill(pid_of(child), signal.SIGSTOP)
    with pytest.raises(LearningError, match=r"was killed \(signal 9\)"):
        child.run(
            "learn", write_task(tmp_path / "x", arrays), print, NEVER, lambda: os.kill(pid_of(child), signal.SIGKILL)
        )


def test_a_stop_ends_it_at_work_and_idle(
    child: Child, arrays: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    child.warm()
    idle = pid_of(child)
    child.end()
    assert is_gone(idle)
    child.end()  # there is none: nothing happens
    stop = threading.Event()
    pids: list[int] = []

    def tick() -> None:
        pids.append(pid_of(child))
        stop.set()

    with pytest.raises(StopRequestedError):
        child.run("learn", write_task(tmp_path / "x", arrays), print, stop, tick)
    assert is_gone(pids[0])
    assert "the job 'learn' began" in caplog.text


@pytest.mark.slow
def test_an_updater_has_one_while_a_drop_settles(settings: Settings, store: DirectoryStore, drop: Drop) -> None:
    updater = Updater(changed(settings, updater={"settle_seconds": 600}), load_preset("digits"), store)
    thread = threading.Thread(target=updater.run)
    thread.start()
    try:
        wait_for(lambda: updater.status.snapshot()["lease"]["state"] == "active")
        assert children() == []
        folders = [drop(name, digit) for digit, name in enumerate(CLASSES)]
        (pid,) = wait_for(children)
        assert not list(store.folders("updates/"))
        for folder in folders:
            shutil.rmtree(folder)
        wait_for(lambda: is_gone(pid))
    finally:
        updater.stopping.set()
        thread.join(STOP_SECONDS)
    assert not thread.is_alive()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("modules", "foreign"),
    [
        (
            "handlers.updater.training.train_job, handlers.updater.training.edit_job",
            {"prometheus_client", "starlette", "uvicorn", "httpx", "minio"},
        ),
        ("handlers.updater.__main__, handlers.updater.http.app", {"torch", "torchvision", "onnx", "timm"}),
    ],
    ids=["child", "parent"],
)
def test_neither_side_imports_what_only_the_other_needs(modules: str, foreign: set[str]) -> None:
    program = f"import sys, {modules}; print(*{foreign} & {{name.split('.')[0] for name in sys.modules}})"
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout.split() == []
