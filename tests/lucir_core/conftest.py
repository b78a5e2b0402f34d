from collections.abc import Iterator
from functools import lru_cache

import pytest
import torch

from lucir_core.phase import run_phase
from lucir_core.state import LearnerState
from lucir_core.testing import synthetic_phase, tiny_config


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """Tiny batches gain nothing from more threads, and a busy machine loses much by them."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@lru_cache(maxsize=1)
def _learn_two_phases() -> tuple[LearnerState, LearnerState]:
    config = tiny_config({"cbf.enabled": True, "cbf.epochs": 2, "lambda_max": 25.0})
    first = run_phase(config, synthetic_phase({0: 20, 1: 20, 2: 20}, 3), None, seed=1)
    return first, run_phase(config, synthetic_phase({3: 20, 4: 20}, 5), first, seed=1)


@pytest.fixture
def two_phases() -> tuple[LearnerState, LearnerState]:
    """Three classes, then two more; learnt once for all tests, so they only read it."""
    return _learn_two_phases()
