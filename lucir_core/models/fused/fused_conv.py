"""A convolution of few channels by a kernel of its own where the model was placed so and that can be done."""

from typing import cast

import torch
from torch import Tensor, nn

from lucir_core.models.fused import switch

CHANNELS = (16, 32, 64)
LARGEST = 16 * 32 * 32
"""Values of one image's map up to which the kernels were found to be faster than cuDNN's."""


def convolved(conv: nn.Conv2d, x: Tensor) -> Tensor:
    """`conv` of x; (batch, inputs, height, width) to (batch, outputs, height / stride, width / stride)."""
    if getattr(conv, "fuses", False) and _has_kernel(conv, x):
        from lucir_core.models.fused import conv_kernels  # needs Triton

        return conv_kernels.convolve(x, conv.weight)
    return cast(Tensor, conv(x))


def _has_kernel(conv: nn.Conv2d, x: Tensor) -> bool:
    """3x3 pixels at every pixel, as many channels out as in; images and weights channels-last, of one narrow type."""
    return (
        switch.has_kernels(x)
        and x.dtype == conv.weight.dtype
        and x.element_size() == 2
        and conv.in_channels == conv.out_channels
        and conv.in_channels in CHANNELS
        and x.shape[1:].numel() <= LARGEST
        and (conv.kernel_size, conv.stride, conv.padding, conv.dilation) == ((3, 3), (1, 1), (1, 1), (1, 1))
        and conv.groups == 1
        and conv.bias is None
        and x.is_contiguous(memory_format=torch.channels_last)
        and conv.weight.is_contiguous(memory_format=torch.channels_last)
    )
