"""All convolutions of a network in a narrower type, their weights converted in one go instead of one by one."""

from typing import Any, cast

import torch
from torch import Tensor, nn


def convolved_in(kind: torch.dtype, network: nn.Module, x: Tensor) -> Tensor:
    """`network` of x, its convolutions with weights of type `kind`; gradients come back in the weights' own type."""
    weights = {f"{name}.weight": part.weight for name, part in network.named_modules() if isinstance(part, nn.Conv2d)}
    narrow = dict(zip(weights, _Converted.apply(kind, *weights.values()), strict=True))
    return cast(Tensor, torch.func.functional_call(network, narrow, (x,)))


def convert_convolutions(network: nn.Module, kind: torch.dtype) -> None:
    """Keep the weights of all convolutions in type `kind`: for a network that is not trained."""
    for part in network.modules():
        if isinstance(part, nn.Conv2d):
            part.to(kind)


class _Converted(torch.autograd.Function):
    """Copies of tensors in another type, in the same memory layout."""

    @staticmethod
    def forward(ctx: Any, kind: torch.dtype, *weights: Tensor) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(False)
        ctx.kinds = [weight.dtype for weight in weights]
        return _copies(weights, [kind] * len(weights))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        found = [gradient for gradient in gradients if gradient is not None]
        kinds = [kind for kind, gradient in zip(ctx.kinds, gradients, strict=True) if gradient is not None]
        copies = iter(_copies(found, kinds))
        return None, *(None if gradient is None else next(copies) for gradient in gradients)


def _copies(tensors: Any, kinds: Any) -> tuple[Tensor, ...]:
    copies = tuple(torch.empty_like(tensor, dtype=kind) for tensor, kind in zip(tensors, kinds, strict=True))
    if copies:
        torch._foreach_copy_(copies, tensors)
    return copies
