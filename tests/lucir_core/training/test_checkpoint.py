"""A phase that is stopped and called again ends with the same bits as one that never was.

Processes that are killed are in ``methods/test_killed.py``.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lucir_core.config.phase_config import PhaseConfig
from lucir_core.data.phase_data import PhaseData
from lucir_core.memory.image_blobs import ImageBlobs
from lucir_core.phase import Progress, run_phase
from lucir_core.state import LearnerState
from lucir_core.testing import synthetic_phase, tiny_config
from lucir_core.training.checkpoint import Checkpoint
from tests.support.learning.tiny import weights_equal

OVERRIDES = {"epochs": 6, "milestones": [4], "cbf.enabled": True, "cbf.epochs": 4}


class Stop(BaseException):
    """Ends a phase from its report, as a kill would."""


def config() -> PhaseConfig:
    return tiny_config(OVERRIDES)


def data() -> PhaseData:
    return synthetic_phase({3: 20, 4: 20}, 5)


@pytest.fixture
def first(two_phases: tuple[LearnerState, LearnerState]) -> LearnerState:
    return two_phases[0]


def same(one: LearnerState, two: LearnerState) -> None:
    assert weights_equal(one.model, two.model)
    assert torch.equal(one.prototypes, two.prototypes)
    assert one.exemplars.pngs == two.exemplars.pngs


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
    same(resumed, uninterrupted)
    assert not path.exists()
    assert not set(seen) & set(before)


def reversed_exemplars(first: LearnerState) -> LearnerState:
    blobs = first.exemplars
    return replace(first, exemplars=ImageBlobs(blobs.pngs[::-1], blobs.labels[::-1].copy(), blobs.classes))


def other_phase_sizes(first: LearnerState) -> LearnerState:
    return replace(first, phase_sizes=(1, len(first.classes) - 1))


@pytest.mark.parametrize(
    ("change", "seed", "cut", "said"),
    [
        (reversed_exemplars, 1, None, "belongs to another phase"),
        (other_phase_sizes, 1, None, "belongs to another phase"),
        (lambda first: first, 2, None, "belongs to another phase"),
        (lambda first: first, 1, -50, "damaged"),
    ],
    ids=["exemplars", "phase sizes", "seed", "damage"],
)
def test_a_file_of_another_phase_or_a_damaged_one_is_left_aside(
    first: LearnerState,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    change: Callable[[LearnerState], LearnerState],
    seed: int,
    cut: int | None,
    said: str,
) -> None:
    path = tmp_path / "resume.safetensors"
    stopped_at(first, path, "main", 2)
    path.write_bytes(path.read_bytes()[:cut])
    resumed = run_phase(config(), data(), change(first), seed=seed, resume=path)
    assert said in caplog.text
    same(resumed, run_phase(config(), data(), change(first), seed=seed))


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
