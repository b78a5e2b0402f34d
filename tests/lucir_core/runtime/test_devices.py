"""Where a phase is trained."""

import pytest
import torch

from lucir_core.config.phase_config import load_preset
from lucir_core.runtime.devices import choose_device, choose_threads


def test_small_steps_are_not_shared_among_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 16)
    tiny, small = load_preset("digits"), load_preset("small")
    assert (choose_threads(None, tiny), choose_threads(None, small)) == (1, 16)
    assert (choose_threads(3, tiny), choose_threads(3, small)) == (3, 3)


def test_a_device_that_is_not_there_is_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == "cpu"
    with pytest.raises(OSError, match=r"cuda:1.*set learning.device to auto"):
        choose_device("cuda:1")
