"""What a step costs: the figure, and that counting changes nothing."""

import pytest
import torch
from torch import Tensor

from lucir_core.phase import Progress, run_phase
from lucir_core.state import LearnerState
from lucir_core.testing import synthetic_phase, tiny_config
from lucir_core.training.flops import counted
from tests.support.learning.tiny import weights_equal


def test_a_multiplication_and_an_addition_are_two() -> None:
    layer = torch.nn.Linear(3, 2)

    def step(images: Tensor, labels: Tensor) -> Tensor:
        layer(images)[:, 0].sum().backward()
        return labels

    values, operations = counted(step, torch.ones(4, 3), torch.zeros(4))
    assert values.shape == (4,)
    assert operations == 2 * (2 * 4 * 3 * 2)  # forward, and the gradient of the weights; the input needs none


def test_a_phase_counts_student_and_teacher_and_learns_the_same(two_phases: tuple[LearnerState, LearnerState]) -> None:
    data, seen = synthetic_phase({3: 20, 4: 20}, 5), list[Progress]()
    costs = []
    for settings in ({}, {"less_forget": False}):
        config = tiny_config({"epochs": 2, **settings})
        seen.clear()
        one = run_phase(config, data, two_phases[0], seed=1, counts_flops=True, report=seen.append)
        two = run_phase(config, data, two_phases[0], seed=1)
        assert weights_equal(one.model, two.model)
        assert seen[0].flops == seen[1].flops
        costs.append(seen[0].flops or 0.0)
    # Backward costs twice the forward pass, the teacher's forward pass once more.
    assert costs[0] / costs[1] == pytest.approx(4 / 3, rel=0.03)
