from pathlib import Path

import numpy as np
import pytest

from lucir_core.config.phase_config import PhaseConfig
from lucir_core.export.onnx_export import compare_onnx, export_onnx
from lucir_core.export.quantise import can_quantise, quantise
from lucir_core.phase import run_phase
from lucir_core.testing import synthetic_images, synthetic_phase, tiny_config
from tests.lucir_core.export.test_onnx_export import stirred


def test_at_eight_bits_a_learnt_network_gives_the_same_answers_in_less_space(tmp_path: Path) -> None:
    state = run_phase(tiny_config(), synthetic_phase(dict.fromkeys(range(4), 12), 4), None, seed=3)
    export_onnx(state, tmp_path / "model.onnx")
    assert can_quantise(tmp_path / "model.onnx")
    seen = np.concatenate([synthetic_images(label, 6, seed=1) for label in range(4)])
    quantise(tmp_path / "model.onnx", tmp_path / "small.onnx", seen)
    asked = np.concatenate([synthetic_images(label, 20, seed=2) for label in range(4)])
    check = compare_onnx(state, tmp_path / "small.onnx", asked)
    assert check.top1_disagreements <= 2
    assert 0 < check.max_cosine_difference < 0.1
    assert (tmp_path / "small.onnx").stat().st_size < (tmp_path / "model.onnx").stat().st_size / 2


@pytest.mark.parametrize(("network", "may"), [("efficientnet_lite0", False), ("resnet18", True)])
def test_a_network_of_depthwise_convolutions_stays_as_it_is(network: str, may: bool, tmp_path: Path) -> None:
    export_onnx(stirred(PhaseConfig(network=network, size=32, resize=32), 3), tmp_path / "model.onnx")
    assert can_quantise(tmp_path / "model.onnx") is may
