from pathlib import Path

import pytest
import torch

from lucir_core.errors import StateError
from lucir_core.state import CHECKPOINT, EXEMPLARS, LearnerState, load_state, save_state
from tests.support.learning.tiny import weights_equal

TwoPhases = tuple[LearnerState, LearnerState]


def test_round_trip(two_phases: TwoPhases, tmp_path: Path) -> None:
    state = two_phases[1]
    save_state(state, tmp_path)
    loaded = load_state(tmp_path)
    for name in ("classes", "phase", "phase_sizes", "config", "seed", "lambda_", "old_count", "eta"):
        assert getattr(loaded, name) == getattr(state, name), name
    assert weights_equal(loaded.model, state.model)
    assert torch.equal(loaded.prototypes, state.prototypes)
    assert loaded.exemplars.pngs == state.exemplars.pngs
    assert sorted(path.name for path in tmp_path.iterdir()) == [CHECKPOINT, EXEMPLARS]


def test_files_of_different_phases_are_refused(two_phases: TwoPhases, tmp_path: Path) -> None:
    save_state(two_phases[0], tmp_path)
    two_phases[1].exemplars.save(tmp_path / EXEMPLARS)
    with pytest.raises(StateError, match="not of the same phase"):
        load_state(tmp_path)


def test_damaged_absent_and_foreign_files(two_phases: TwoPhases, tmp_path: Path) -> None:
    with pytest.raises(StateError, match="damaged"):
        load_state(tmp_path)
    save_state(two_phases[0], tmp_path)
    path = tmp_path / CHECKPOINT
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(StateError, match="damaged"):
        load_state(tmp_path)
    two_phases[0].exemplars.save(path)
    with pytest.raises(StateError, match="not a checkpoint"):
        load_state(tmp_path)
