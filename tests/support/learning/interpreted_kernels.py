"""The kernels of `lucir_core.models.fused`, run by Triton's interpreter on the CPU, beside PyTorch in float64.

A process of its own, for the interpreter has to be chosen before Triton is imported: `python -m` this module.
"""

import copy
import os

os.environ["TRITON_INTERPRET"] = "1"

import torch
from torch import Tensor, nn

from lucir_core.models import create_backbone
from lucir_core.models.fused import switch
from lucir_core.models.fused.fused_conv import convolved
from lucir_core.models.fused.fused_norm import normalised
from lucir_core.models.fused.switch import fuse

SHAPES = ((6, 16, 9, 9), (3, 32, 20, 21), (2, 512, 3, 3), (1, 16, 1, 7))
"""Rows that fill no tile, one tile and several; wide and narrow; seven rows in all."""

CONVOLUTIONS = ((3, 16, 9, 9), (2, 16, 8, 32), (2, 32, 16, 16), (3, 64, 5, 3), (1, 16, 1, 1))
"""Pixels that fill no tile, some and several; odd sides; a single pixel."""


def check_convolution(shape: tuple[int, ...]) -> None:
    """Output and gradients of one convolution. Half precision: the interpreter cannot multiply bfloat16."""
    channels = shape[1]
    conv = nn.Conv2d(channels, channels, 3, 1, 1, bias=False).half().to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # no stub
    exact = copy.deepcopy(conv).double()
    fuse([conv], on=True)
    x, towards = _map(torch.randn(shape), torch.float16), torch.randn(shape).half()
    found = convolved(conv, x)
    assert type(found.grad_fn).__name__ == "_ConvolveBackward"
    found.backward(towards)
    x64 = _exact(x)
    wanted = convolved(exact, x64)
    wanted.backward(towards.double())
    for one, other in ((found, wanted), (x.grad, x64.grad), (conv.weight.grad, exact.weight.grad)):
        _near(one, other, 1e-3)


def check_other_convolutions() -> None:
    """Those that the kernels cannot compute are PyTorch's."""
    x = _map(torch.randn(2, 16, 8, 8), torch.float16)
    others = (
        (nn.Conv2d(16, 16, 3, 2, 1, bias=False), x),
        (nn.Conv2d(16, 32, 3, 1, 1, bias=False), x),
        (nn.Conv2d(16, 16, 1, 1, bias=False), x),
        (nn.Conv2d(16, 16, 3, 1, 1), x),
        (nn.Conv2d(16, 16, 3, 1, 1, groups=2, bias=False), x),
        (nn.Conv2d(16, 16, 3, 1, 1, bias=False), x.contiguous()),
    )
    for conv, images in others:
        fuse([conv], on=True)
        assert type(convolved(conv.half(), images).grad_fn).__name__ == "ConvolutionBackward0"
    large = nn.Conv2d(64, 64, 3, 1, 1, bias=False).half().to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # no stub
    fuse([large], on=True)
    assert (
        type(convolved(large, _map(torch.randn(1, 64, 17, 16), torch.float16)).grad_fn).__name__
        == "ConvolutionBackward0"
    )
    wide = nn.Conv2d(16, 16, 3, 1, 1, bias=False)
    fuse([wide], on=True)
    assert type(convolved(wide, x.float()).grad_fn).__name__ == "ConvolutionBackward0"


def check_layer(shape: tuple[int, ...], kind: torch.dtype, *, adds: bool, relu: bool) -> None:
    """Output, gradients and running figures of one normalisation, in training and by its running figures."""
    exact = nn.BatchNorm2d(shape[1]).double()
    nn.init.uniform_(exact.weight, 0.5, 1.5)
    nn.init.normal_(exact.bias)
    fused = copy.deepcopy(exact).float()
    fuse([fused], on=True)
    # Far from zero, where sums of squares would cancel.
    x = _map(torch.randn(shape) * 3 + 50, kind)
    residual = _map(torch.randn(shape), kind) if adds else None
    towards = _map(torch.randn(shape), kind).detach()
    found = normalised(fused, x, residual, relu=relu)
    found.backward(towards)
    x64, residual64 = _exact(x), None if residual is None else _exact(residual)
    wanted = normalised(exact, x64, residual64, relu=relu)
    wanted.backward(towards.double())
    loose = 1e-2 if kind == torch.bfloat16 else 1e-5
    _near(found, wanted, loose)
    _near(x.grad, x64.grad, loose)
    if residual is not None and residual64 is not None:
        _near(residual.grad, residual64.grad, loose)
    for one, other in zip((*fused.parameters(),), (*exact.parameters(),), strict=True):
        _near(one.grad, other.grad, loose)
    for one, other in zip(fused.buffers(), exact.buffers(), strict=True):
        _near(one, other, 1e-5)
    fused.eval()
    exact.eval()
    with torch.no_grad():
        _near(normalised(fused, x, residual, relu=relu), normalised(exact, x64, residual64, relu=relu), loose)


def check_network(name: str) -> None:
    """A whole network beside itself step by step, and a value that is not a number comes out at the end."""
    plain = create_backbone(name, last_relu=False, seed=1).train()
    quick = copy.deepcopy(plain).to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # no stub
    fuse(quick.modules(), on=True)
    images, towards = torch.randn(4, 3, 8, 8), torch.randn(4, 64)
    for network in (plain, quick):
        network(images).backward(towards)
    for one, other in zip(quick.parameters(), plain.parameters(), strict=True):
        _near(one.grad, other.grad, 1e-3)
    for one, other in zip(quick.buffers(), plain.buffers(), strict=True):
        _near(one, other, 1e-3)
    assert bool(quick(images.fill_(float("nan"))).isnan().all())


def _map(values: Tensor, kind: torch.dtype) -> Tensor:
    return values.to(kind).to(memory_format=torch.channels_last).requires_grad_()


def _exact(tensor: Tensor) -> Tensor:
    return tensor.detach().double().requires_grad_()


def _near(found: Tensor | None, wanted: Tensor | None, bound: float) -> None:
    assert found is not None
    assert wanted is not None
    distance = (found.detach().double() - wanted.detach().double()).norm()
    assert distance <= bound * wanted.detach().double().norm(), (float(distance), tuple(wanted.shape))


def main() -> None:
    """All of it; the first difference ends the process."""
    torch.manual_seed(0)
    switch.has_kernels = lambda x: True
    for shape in SHAPES:
        for adds, relu in ((False, True), (True, True), (True, False)):
            check_layer(shape, torch.float32, adds=adds, relu=relu)
    check_layer(SHAPES[0], torch.bfloat16, adds=True, relu=True)
    for shape in CONVOLUTIONS:
        check_convolution(shape)
    check_other_convolutions()
    check_network("resnet8")


if __name__ == "__main__":
    main()
