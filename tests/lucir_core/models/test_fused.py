"""Normalisations computed with what follows them, and weights converted together, are what they are one by one."""

import logging
import os
import subprocess
import sys

import pytest
import torch

from lucir_core.models import create_backbone
from lucir_core.models.fused.low_weights import convert_convolutions, convolved_in
from lucir_core.models.fused.switch import kernels_run


@pytest.mark.slow
def test_the_kernels_compute_what_pytorch_computes() -> None:
    environment = {**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.support.learning.interpreted_kernels"]
    ended = subprocess.run(command, env=environment, capture_output=True, encoding="utf-8", check=False, timeout=240)
    assert ended.returncode == 0, ended.stderr[-2000:]


def test_where_no_kernels_can_be_made_a_warning_says_so(caplog: pytest.LogCaptureFixture) -> None:
    kernels_run.cache_clear()
    assert not kernels_run(torch.device("cpu"))
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


def test_weights_converted_together_give_the_gradients_of_autocast() -> None:
    network = create_backbone("resnet8", last_relu=False, seed=1)
    images = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(1))

    def gradients(together: bool) -> list[torch.Tensor]:
        network.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
            out = convolved_in(torch.bfloat16, network, images) if together else network(images)
        assert out.dtype == torch.bfloat16
        out.float().square().sum().backward()
        return [parameter.grad for parameter in network.parameters() if parameter.grad is not None]

    one, other = gradients(together=True), gradients(together=False)
    assert len(one) == len(other) == len(list(network.parameters()))
    for together, apart in zip(one, other, strict=True):
        assert together.dtype == torch.float32
        torch.testing.assert_close(together, apart, rtol=0.05, atol=0.05 * float(apart.abs().max()))


def test_frozen_parts_take_no_gradient_when_weights_are_converted_together() -> None:
    network = create_backbone("resnet8", last_relu=False, seed=1)
    network.conv1.requires_grad_(False)
    convolved_in(torch.bfloat16, network, torch.randn(4, 3, 8, 8).bfloat16()).float().sum().backward()
    assert network.conv1.weight.grad is None
    assert network.layer1[0].conv1.weight.grad is not None


def test_a_frozen_network_keeps_its_convolutions_narrow_and_its_normalisations_wide() -> None:
    network = create_backbone("resnet8", last_relu=False, seed=1).eval().requires_grad_(False)
    images = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    with torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
        before = network(images)
        convert_convolutions(network, torch.bfloat16)
        torch.testing.assert_close(network(images), before)
    kinds = {name.split(".")[-2][:2]: value.dtype for name, value in network.named_parameters()}
    assert (kinds["co"], kinds["bn"]) == (torch.bfloat16, torch.float32)
