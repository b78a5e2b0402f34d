import math
from pathlib import Path

import pytest
import torch
from torch import nn

from lucir_core.export.onnx_export import compare_onnx, export_onnx
from lucir_core.methods import create_method
from lucir_core.methods.der import branched
from lucir_core.models import create_backbone
from lucir_core.models.gates import (
    ChannelGate,
    close_gates,
    closed,
    gates_of,
    open_gates,
    pruned,
    revive,
    sparsity_loss,
)
from lucir_core.phase import Progress, run_phase
from lucir_core.state import load_state, save_state
from lucir_core.testing import synthetic_phase
from tests.support.learning.tiny import first_phase, second_phase, short_config, weights_equal


def images() -> torch.Tensor:
    return torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(2))


def gated(open_share: float = 0.5) -> nn.Module:
    """A backbone whose gates are clearly open or clearly closed, with statistics that are not those of the start."""
    backbone = create_backbone("resnet8", last_relu=True, seed=4)
    backbone(images())
    for gate in open_gates(backbone, sharpest=10.0, batches=3):
        with torch.no_grad():
            gate.scores.fill_(4.0)
            gate.scores[int(open_share * len(gate.scores)) :] = -4.0
    return backbone.eval()


def test_sharpness_rises_within_every_epoch() -> None:
    gate, seen = ChannelGate(2, sharpest=8.0, batches=5), []
    for _ in range(10):
        gate.advance()
        seen.append(gate.sharpness.item())
    # 1 / s + (s - 1 / s) * (b - 1) / (B - 1)
    expected = [1 / 8 + (8 - 1 / 8) * b / 4 for b in range(5)]
    assert seen == pytest.approx(expected * 2)
    single = ChannelGate(2, sharpest=8.0, batches=1)
    single.advance()
    assert single.sharpness.item() == pytest.approx(8.0)


def test_a_gate_multiplies_channels_by_the_sigmoid() -> None:
    gate, x = ChannelGate(3, sharpest=6.0, batches=3), torch.rand(2, 3, 4, 4)
    with torch.no_grad():
        gate.scores.copy_(torch.tensor([0.2, -0.5, 1.0]))
    gate.advance()
    expected = [1 / (1 + math.exp(-score / 6)) for score in (0.2, -0.5, 1.0)]
    torch.testing.assert_close(gate(x), x * torch.tensor(expected).view(1, 3, 1, 1))
    gate.eval()
    expected = [1 / (1 + math.exp(-score * 6)) for score in (0.2, -0.5, 1.0)]
    torch.testing.assert_close(gate.mask(), torch.tensor(expected))


def test_the_gradient_is_compensated_for_the_sharpness() -> None:
    gate = ChannelGate(3, sharpest=6.0, batches=3)
    with torch.no_grad():
        gate.scores.copy_(torch.tensor([0.2, -0.5, 1.0]))
    for _ in range(2):
        gate.advance()
    weights = torch.tensor([1.0, -2.0, 3.0])
    (gate.mask() * weights).sum().backward()
    scores, s = gate.scores.detach().clone().requires_grad_(), gate.sharpness.item()
    (torch.sigmoid(s * scores) * weights).sum().backward()
    plain, sharp = torch.sigmoid(scores.detach()), torch.sigmoid(s * scores.detach())
    assert scores.grad is not None
    compensated = scores.grad * plain * (1 - plain) / (s * sharp * (1 - sharp))
    torch.testing.assert_close(gate.scores.grad, compensated)


def test_the_sparsity_loss_by_a_loop() -> None:
    backbone = gated()
    total = full = 0.0
    for inputs, inner in ((16, 16), (16, 32), (32, 64)):
        # 3x3 into the gated channels, 3x3 out of them to as many that no gate closes; half of the gates are open.
        total += 9 * inputs * inner / 2 + 9 * inner / 2 * inner
        full += 9 * inputs * inner + 9 * inner * inner
    assert sparsity_loss(backbone).item() == pytest.approx(total / full, rel=1e-5)
    open_gates(backbone, 50.0, 2)
    assert sparsity_loss(backbone.eval()).item() == pytest.approx(1.0)


def test_closing_and_pruning_change_nothing_that_is_computed() -> None:
    backbone = gated()
    with torch.no_grad():
        before = backbone(images())
        assert close_gates(backbone) == 0.5
        assert not gates_of(backbone)
        torch.testing.assert_close(backbone(images()), before, rtol=1e-5, atol=1e-6)
        smaller = pruned(backbone)
        torch.testing.assert_close(smaller(images()), before, rtol=1e-5, atol=1e-6)
    sizes = [sum(parameter.numel() for parameter in network.parameters()) for network in (smaller, backbone)]
    assert sizes[0] < 0.6 * sizes[1]
    assert pruned(smaller) is smaller


def test_a_block_without_open_channels_keeps_one() -> None:
    backbone = gated(open_share=0.0)
    with torch.no_grad():
        close_gates(backbone)
        torch.testing.assert_close(pruned(backbone)(images()), backbone(images()))


def test_revived_channels_can_be_trained_and_the_others_are_left_alone() -> None:
    backbone = gated()
    close_gates(backbone)
    block = backbone.layer2[0]
    dead, before = closed(block), block.conv1.weight.detach().clone()
    revive(backbone, torch.Generator().manual_seed(1))
    assert not closed(block).any()
    assert torch.equal(block.conv1.weight[~dead], before[~dead])
    backbone.train()
    backbone(images()).sum().backward()
    assert (block.conv1.weight.grad[dead].abs().sum(dim=(1, 2, 3)) > 0).all()


def test_phases_with_masks_close_channels_save_load_and_export(tmp_path: Path) -> None:
    config = short_config("der", der={"masks": True, "sparsity_weight": 300.0}, epochs=6, lr=0.2)
    seen: list[Progress] = []
    first = run_phase(config, first_phase(), None, seed=1, report=seen.append)
    assert seen[-1].losses["sparsity"] < seen[0].losses["sparsity"] <= 1.0
    (branch,) = branched(first.model).branches
    shut = sum(int(closed(stage[0]).sum()) for stage in (branch.layer1, branch.layer2, branch.layer3))
    assert shut > 0
    assert not gates_of(branch)

    started = create_method("der").start(config, first.model, 3, 2, seed=5)
    assert weights_equal(branched(started).branches[0], branch)
    assert not any(
        closed(stage[0]).any() for stage in (branched(started).newest.layer1, branched(started).newest.layer3)
    )

    second = run_phase(config, second_phase("der"), first, seed=1)
    assert weights_equal(branched(second.model).branches[0], branch)
    save_state(second, tmp_path)
    assert weights_equal(load_state(tmp_path).model, second.model)
    export_onnx(second, tmp_path / "model.onnx")
    check = compare_onnx(second, tmp_path / "model.onnx", synthetic_phase(dict.fromkeys(range(5), 4), 5).images)
    assert check.max_probability_difference < 1e-5
    plain = sum(value.numel() for value in second.model.state_dict().values()) * 4
    assert (tmp_path / "model.onnx").stat().st_size < plain
