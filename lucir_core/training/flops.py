"""Floating-point operations of a training step, counted by PyTorch while one real step is made."""

from collections.abc import Callable

from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode


def counted(step: Callable[[Tensor, Tensor], Tensor], images: Tensor, labels: Tensor) -> tuple[Tensor, int]:
    """What `step` gives, and the operations of its convolutions and matrix products, forward and backward, teacher too.

    A multiplication and an addition are two; what is left out (normalisation, losses) is below one per cent. The step
    itself is the same to the bit.
    """
    with FlopCounterMode(display=False) as counter:
        values = step(images, labels)
    return values, counter.get_total_flops()
