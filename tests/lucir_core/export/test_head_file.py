"""The head as a file of its own: on the outputs of any network with its backbone it answers as its own does."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from lucir_core.config.phase_config import PhaseConfig, load_preset
from lucir_core.export.onnx_export import BACKBONE, KNOWN, OUTPUTS, export_onnx, open_session
from lucir_core.frozen import concepts
from lucir_core.phase import run_phase
from lucir_core.state import LearnerState
from lucir_core.testing import synthetic_phase
from tests.lucir_core.export.test_onnx_export import stirred

SIDE = 32


def images(config: PhaseConfig) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (5, config.size, config.size, 3), np.uint8)


def learnt(expansion: int, classes: int) -> LearnerState:
    """On a frozen backbone of drawn weights, as if it had come with a classifier."""
    overrides = {"network": "resnet8", "weights": None, "size": SIDE, "resize": SIDE, "exemplars_per_class": 3}
    config = load_preset("photo", {**overrides, "analytic.expansion": expansion})
    return run_phase(config, synthetic_phase(dict.fromkeys(range(classes), 6), classes, side=SIDE), None, seed=1)


def drawn_classifier(_: LearnerState) -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    return torch.randn(7, 64, generator=random), torch.randn(7, generator=random)


@pytest.fixture(params=["cosine", "linear", "ridge", "expanded"])
def states(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[LearnerState, LearnerState]:
    """Two with one backbone and different classes."""
    if request.param in ("ridge", "expanded"):
        monkeypatch.setattr(concepts, "_classifier", drawn_classifier)
        expansion = 50 if request.param == "expanded" else 0
        return learnt(expansion, 3), learnt(expansion, 5)
    one = stirred(PhaseConfig(network="resnet20", head=request.param, size=SIDE, resize=SIDE), 5)
    return one, replace(one, prototypes=one.prototypes.roll(1, dims=0))


def test_a_head_answers_on_the_backbone_of_another_version(
    states: tuple[LearnerState, LearnerState], tmp_path: Path
) -> None:
    whole, heads = [], []
    for number, state in enumerate(states):
        export_onnx(state, tmp_path / f"{number}.onnx", tmp_path / f"head-{number}.onnx")
        whole.append(open_session(tmp_path / f"{number}.onnx"))
        heads.append(onnxruntime.InferenceSession(tmp_path / f"head-{number}.onnx"))
    fed = {"images": images(states[0].config)}
    given = [one.name for one in heads[1].get_inputs()]
    made = [one.name for one in heads[1].get_outputs()]
    assert made[:3] == list(OUTPUTS)
    assert (KNOWN in made) == (states[1].calibration is not None)
    found = heads[1].run(made, dict(zip(given, whole[0].run(given, fed), strict=True)))
    for name, one, other in zip(made, found, whole[1].run(made, fed), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6, err_msg=name)


def test_a_head_names_its_backbone(tmp_path: Path) -> None:
    state = stirred(PhaseConfig(network="resnet20", size=SIDE, resize=SIDE), 5)
    names = []
    for number in range(3):
        if number == 1:
            state = replace(state, prototypes=state.prototypes.roll(1, dims=0))
        if number == 2:
            with torch.no_grad():
                next(state.model.backbone.parameters()).flatten()[0] += 1e-3
        export_onnx(state, tmp_path / "model.onnx", tmp_path / "head.onnx")
        names.append(onnxruntime.InferenceSession(tmp_path / "head.onnx").get_modelmeta().custom_metadata_map[BACKBONE])
    assert names[0] == names[1] != names[2]
    assert len(names[0]) == 64
