"""A phase that is killed and called again ends with the same bits as one that never was."""

import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lucir_core.config.phase_config import PhaseConfig
from lucir_core.data.phase_data import PhaseData
from lucir_core.memory.image_blobs import ImageBlobs
from lucir_core.phase import Progress, run_phase
from lucir_core.state import LearnerState, load_state, save_state
from lucir_core.testing import synthetic_phase, tiny_config
from lucir_core.training.checkpoint import Checkpoint

OVERRIDES = {"epochs": 6, "milestones": [4], "cbf.enabled": True, "cbf.epochs": 4}
CHILD = """
import sys
from pathlib import Path
import torch
from lucir_core.phase import run_phase
from lucir_core.state import load_state, save_state
from lucir_core.testing import synthetic_phase, tiny_config

torch.set_num_threads(1)
folder = Path(sys.argv[1])
config = tiny_config({overrides!r})

def report(progress):
    print(progress.stage, progress.epoch, flush=True)
    sys.stdin.readline()

state = run_phase(config, synthetic_phase({{3: 20, 4: 20}}, 5), load_state(folder / "first"), seed=1,
                  report=report, resume=folder / "resume.safetensors")
save_state(state, folder / "second")
"""


class Stop(BaseException):
    """Ends a phase from its report, as a kill would."""


def config() -> PhaseConfig:
    return tiny_config(OVERRIDES)


def data() -> PhaseData:
    return synthetic_phase({3: 20, 4: 20}, 5)


@pytest.fixture
def first(two_phases: tuple[LearnerState, LearnerState]) -> LearnerState:
    return two_phases[0]


def same(one: LearnerState, two: LearnerState) -> bool:
    ours, theirs = one.model.state_dict(), two.model.state_dict()
    weights = all(torch.equal(ours[name], theirs[name]) for name in ours)
    return weights and torch.equal(one.prototypes, two.prototypes) and one.exemplars.pngs == two.exemplars.pngs


def stopped_at(first: LearnerState, path: Path, stage: str, epoch: int) -> list[tuple[str, int]]:
    seen = []

    def report(progress: Progress) -> None:
        seen.append((progress.stage, progress.epoch))
        if seen[-1] == (stage, epoch):
            raise Stop

    with pytest.raises(Stop):
        run_phase(config(), data(), first, seed=1, report=report, resume=path)
    return seen


@pytest.mark.parametrize(("stage", "epoch"), [("main", 1), ("main", 6), ("balanced", 1), ("balanced", 4)])
def test_stopped_anywhere_the_result_is_the_same(
    first: LearnerState, tmp_path: Path, stage: str, epoch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lucir_core.training.checkpoint.WRITING_SHARE", 1e9)
    uninterrupted = run_phase(config(), data(), first, seed=1)
    path = tmp_path / "resume.safetensors"
    before = stopped_at(first, path, stage, epoch)
    assert path.is_file()
    seen: list[tuple[str, int]] = []
    resumed = run_phase(config(), data(), first, seed=1, report=lambda p: seen.append((p.stage, p.epoch)), resume=path)
    assert same(resumed, uninterrupted)
    assert not path.exists()
    assert not set(seen) & set(before)


@pytest.mark.parametrize("changed", ["exemplars", "phase_sizes"])
def test_a_file_of_other_exemplars_or_phase_sizes_is_left_aside(
    first: LearnerState, tmp_path: Path, changed: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "resume.safetensors"
    stopped_at(first, path, "main", 2)
    blobs = first.exemplars
    if changed == "exemplars":
        other = replace(first, exemplars=ImageBlobs(blobs.pngs[::-1], blobs.labels[::-1].copy(), blobs.classes))
    else:
        other = replace(first, phase_sizes=(1, len(first.classes) - 1))
    resumed = run_phase(config(), data(), other, seed=1, resume=path)
    assert "belongs to another phase" in caplog.text
    assert same(resumed, run_phase(config(), data(), other, seed=1))


@pytest.mark.slow
def test_a_killed_process_continues_with_the_same_bits(first: LearnerState, tmp_path: Path) -> None:
    save_state(first, tmp_path / "first")
    for stage, epoch in (("main", 3), ("balanced", 2)):
        child = start_child(tmp_path)
        assert child.stdin is not None
        assert child.stdout is not None
        while child.stdout.readline().split() != [stage, str(epoch)]:
            child.stdin.write("\n")
            child.stdin.flush()
        child.send_signal(signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL
        child.stdin.close()
        child.stdout.close()
    child = start_child(tmp_path)
    child.communicate("\n" * 20)
    assert child.returncode == 0
    assert same(load_state(tmp_path / "second"), run_phase(config(), data(), first, seed=1))


def start_child(folder: Path) -> "subprocess.Popen[str]":
    program = CHILD.format(overrides=OVERRIDES)
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, "-c", program, str(folder)], stdin=pipe, stdout=pipe, text=True)


@pytest.mark.parametrize(("seed", "cut", "said"), [(2, None, "belongs to another phase"), (1, -50, "damaged")])
def test_a_file_of_another_phase_or_a_damaged_one_is_left_aside(
    first: LearnerState, tmp_path: Path, caplog: pytest.LogCaptureFixture, seed: int, cut: int | None, said: str
) -> None:
    path = tmp_path / "resume.safetensors"
    stopped_at(first, path, "main", 2)
    path.write_bytes(path.read_bytes()[:cut])
    other = run_phase(config(), data(), first, seed=seed, resume=path)
    assert said in caplog.text
    assert same(other, run_phase(config(), data(), first, seed=seed))


def test_writing_is_rationed(tmp_path: Path) -> None:
    model = torch.nn.Linear(2, 2)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    path = tmp_path / "resume.safetensors"
    # So small a share that after one write hours must pass before the next.
    checkpoint = Checkpoint(path, "x", writing_share=1e-9)
    checkpoint.after_epoch("main", 1, 3, model, optimiser)
    written = path.stat().st_mtime_ns
    time.sleep(0.02)
    checkpoint.after_epoch("main", 2, 3, model, optimiser)
    assert path.stat().st_mtime_ns == written
    checkpoint.after_epoch("main", 3, 3, model, optimiser)
    assert path.stat().st_mtime_ns > written
