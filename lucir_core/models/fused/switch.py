"""Whether a network is computed by the kernels of this folder: chosen where it is placed, found out where they run."""

import logging
from collections.abc import Iterable
from functools import cache

import torch
from torch import Tensor, nn

logger = logging.getLogger(__name__)


def fuse(modules: Iterable[nn.Module], *, on: bool) -> None:
    """Whether each batch normalisation among `modules` is computed with what follows it, and each convolution of few
    channels by a kernel of its own, where that can be done."""
    for module in modules:
        if isinstance(module, nn.BatchNorm2d | nn.Conv2d):
            module.fuses = on  # type: ignore[assignment]  # a flag, no part of the state


@cache
def kernels_run(device: torch.device) -> bool:
    """Whether the kernels can be made for this device and run, found out by one of them; a warning says why not.

    Triton needs a C compiler and Python's headers where they are made, which a slim image may lack.
    """
    norm = nn.BatchNorm2d(16).to(device).eval()
    try:
        from lucir_core.models.fused import norm_kernels

        image = torch.zeros(1, 16, 4, 4, device=device).to(memory_format=torch.channels_last)
        with torch.no_grad():
            norm_kernels.normalise_frozen(
                image, None, norm.weight, norm.bias, norm_kernels.facts_of(norm, relu=True)
            ).cpu()
    except Exception as error:  # noqa: BLE001  # whatever the import, the compiler, the driver say: training goes on without
        logger.warning("networks are not fused: Triton makes no kernels here", extra={"error": str(error)})
        return False
    return True


def has_kernels(x: Tensor) -> bool:
    """Whether the kernels run where x lies."""
    return x.is_cuda
