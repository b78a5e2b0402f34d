from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from lucir_core.config.phase_config import PhaseConfig
from lucir_core.errors import ConfigError
from lucir_core.export.onnx_export import OUTPUTS, compare_onnx, export_onnx, open_session
from lucir_core.export.onnx_graph import GraphWriter, write_backbone
from lucir_core.memory.image_blobs import ImageBlobs
from lucir_core.models.model import IncrementalModel, create_model
from lucir_core.state import LearnerState
from lucir_core.testing import synthetic_phase


def stirred(config: PhaseConfig, classes: int) -> LearnerState:
    """A state whose weights, statistics and shifts are all random, so that a forgotten one shows."""
    random = torch.Generator().manual_seed(4)
    model: IncrementalModel = create_model(config, seed=1)
    model.head.grow(classes, random)
    with torch.no_grad():
        for name, value in [*model.named_parameters(), *model.named_buffers()]:
            stirs = "bn" in name or "downsample.1" in name or name in ("head.eta", "head.bias")
            if stirs and value.is_floating_point():
                value.uniform_(0.5, 1.5, generator=random)
    prototypes = torch.nn.functional.normalize(torch.randn(classes, model.feature_dim, generator=random), dim=1)
    names = tuple(f"class-{i}" for i in range(classes))
    return LearnerState(
        model.eval().requires_grad_(False), names, 0, (classes,), ImageBlobs.empty(names), prototypes, config, 0
    )


CONFIGS = [
    PhaseConfig(network="resnet32"),
    PhaseConfig(network="resnet20", head="linear", size=24, resize=28),
    PhaseConfig(network="resnet18", size=48, resize=48),
]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.network)
def test_onnx_runtime_agrees_with_pytorch(config: PhaseConfig, tmp_path: Path) -> None:
    state = stirred(config, 5)
    images = np.random.default_rng(0).integers(0, 256, (70, config.resize, config.resize, 3), np.uint8)
    export_onnx(state, tmp_path / "model.onnx")
    check = compare_onnx(state, tmp_path / "model.onnx", images)
    assert check.images == 70
    assert check.max_cosine_difference < 1e-5
    assert check.max_probability_difference < 1e-5
    assert check.top1_disagreements == 0


def test_inputs_and_outputs_are_those_of_the_contract(
    two_phases: tuple[LearnerState, LearnerState], tmp_path: Path
) -> None:
    export_onnx(two_phases[1], tmp_path / "model.onnx")
    session = open_session(tmp_path / "model.onnx")
    (images,) = session.get_inputs()
    assert (images.name, images.type, images.shape) == ("images", "tensor(uint8)", ["batch", 16, 16, 3])
    assert [(o.name, o.type, o.shape) for o in session.get_outputs()] == [
        *((name, "tensor(float)", ["batch", 5]) for name in OUTPUTS),
        ("features", "tensor(float)", ["batch", 64]),
    ]
    for batch in (1, 3):
        outputs = session.run(None, {"images": np.zeros((batch, 16, 16, 3), np.uint8)})
        assert [value.shape for value in outputs] == [(batch, 5)] * 3 + [(batch, 64)]
        np.testing.assert_allclose(outputs[0].sum(axis=1), 1.0, rtol=1e-5)


def test_a_difference_would_be_seen(two_phases: tuple[LearnerState, LearnerState], tmp_path: Path) -> None:
    state = two_phases[1]
    export_onnx(state, tmp_path / "model.onnx")
    images = synthetic_phase(dict.fromkeys(range(5), 4), 5).images
    changed = replace(state, prototypes=state.prototypes.roll(1, dims=0))
    check = compare_onnx(changed, tmp_path / "model.onnx", images)
    assert check.max_cosine_difference > 0.01
    assert check.top1_disagreements > 0


def test_file_stands_alone(two_phases: tuple[LearnerState, LearnerState], tmp_path: Path) -> None:
    export_onnx(two_phases[1], tmp_path / "model.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
    onnx.checker.check_model(str(tmp_path / "model.onnx"), full_check=True)


def test_an_operation_without_a_rule_is_named() -> None:
    with pytest.raises(ConfigError, match="Sigmoid"):
        write_backbone(GraphWriter(), torch.nn.Sequential(torch.nn.Sigmoid()), "images")
