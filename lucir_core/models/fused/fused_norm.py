"""A normalisation with what follows it in a block: in one go where the model was placed so, else step by step."""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from lucir_core.models.fused import switch


def normalised(norm: nn.Module, x: Tensor, residual: Tensor | None = None, *, relu: bool = True) -> Tensor:
    """`norm` of x, plus `residual`, through a ReLU; all (batch, channels, height, width).

    norm: batch normalisation, or an identity where it was folded into the convolution before.
    """
    if isinstance(norm, nn.BatchNorm2d) and getattr(norm, "fuses", False) and _is_fusible(norm, x, residual):
        return _in_one_go(norm, x, residual, relu)
    out = cast(Tensor, norm(x))
    if residual is not None:
        out = out + residual
    return functional.relu(out, inplace=True) if relu else out


def _is_fusible(norm: nn.BatchNorm2d, x: Tensor, residual: Tensor | None) -> bool:
    """On a GPU, with a power of two of channels and statistics that no other process shares. By running figures there
    are no gradients."""
    channels = x.shape[1]
    parts = [part for part in (x, residual, norm.weight) if part is not None]
    return (
        switch.has_kernels(x)
        and type(norm) is nn.BatchNorm2d
        and channels & (channels - 1) == 0
        and (residual is None or residual.dtype == x.dtype)
        and (norm.training or not (torch.is_grad_enabled() and any(part.requires_grad for part in parts)))
    )


def _in_one_go(norm: nn.BatchNorm2d, x: Tensor, residual: Tensor | None, relu: bool) -> Tensor:
    from lucir_core.models.fused import norm_kernels  # needs Triton

    facts = norm_kernels.facts_of(norm, relu=relu)
    x = x.contiguous(memory_format=torch.channels_last)
    residual = None if residual is None else residual.contiguous(memory_format=torch.channels_last)
    compute = norm_kernels.normalise_training if norm.training else norm_kernels.normalise_frozen
    return compute(x, residual, norm.weight, norm.bias, facts)
