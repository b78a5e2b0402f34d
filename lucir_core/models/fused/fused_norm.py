"""A normalisation with what follows it in a block: in one go where the model was placed so, else step by step."""

import logging
from collections.abc import Iterable
from functools import cache
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

logger = logging.getLogger(__name__)


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


def fuse(modules: Iterable[nn.Module], *, on: bool) -> None:
    """Whether each batch normalisation among `modules` is computed with what follows it, where that can be done."""
    for module in modules:
        if isinstance(module, nn.BatchNorm2d):
            module.fuses = on  # type: ignore[assignment]  # a flag, no part of the state


@cache
def kernels_run(device: torch.device) -> bool:
    """Whether the kernels can be made for this device and run, found out by one of them; a warning says why not.

    Triton needs a C compiler and Python's headers where they are made, which a slim image may lack.
    """
    norm = nn.BatchNorm2d(16).to(device).eval()
    try:
        with torch.no_grad():
            _in_one_go(norm, torch.zeros(1, 16, 4, 4, device=device), None, relu=True).cpu()
    except Exception as error:  # noqa: BLE001  # whatever the import, the compiler, the driver say: training goes on without
        logger.warning("normalisation is not fused: Triton makes no kernels here", extra={"error": str(error)})
        return False
    return True


def _is_fusible(norm: nn.BatchNorm2d, x: Tensor, residual: Tensor | None) -> bool:
    """On a GPU, with a power of two of channels and statistics that no other process shares. By running figures there
    are no gradients."""
    channels = x.shape[1]
    parts = [part for part in (x, residual, norm.weight) if part is not None]
    return (
        has_kernels(x)
        and type(norm) is nn.BatchNorm2d
        and channels & (channels - 1) == 0
        and (residual is None or residual.dtype == x.dtype)
        and (norm.training or not (torch.is_grad_enabled() and any(part.requires_grad for part in parts)))
    )


def has_kernels(x: Tensor) -> bool:
    """Whether the kernels of `norm_kernels` run where x lies."""
    return x.is_cuda


def _in_one_go(norm: nn.BatchNorm2d, x: Tensor, residual: Tensor | None, relu: bool) -> Tensor:
    from lucir_core.models.fused import norm_kernels  # needs Triton

    facts = norm_kernels.facts_of(norm, relu=relu)
    x = x.contiguous(memory_format=torch.channels_last)
    residual = None if residual is None else residual.contiguous(memory_format=torch.channels_last)
    compute = norm_kernels.normalise_training if norm.training else norm_kernels.normalise_frozen
    return compute(x, residual, norm.weight, norm.bias, facts)
