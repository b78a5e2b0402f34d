"""3x3 convolutions of few channels as Triton kernels, channels-last: forward, to the images, to the weights.

cuDNN pads few channels to a wide tile: on an H200 a convolution of 16 channels takes it 20 us forward and 38 to the
weights, these kernels 7 and 15 (benchmarks/acceleration). A program takes some pixels and all channels, and multiplies
each of the nine neighbours on the tensor cores. Sums are float32. No atomic addition, so the same input
gives the same bits. A row of a map's memory is a pixel, `rows` = batch x height x width.

Triton is imported with this file, so import it only where there is a GPU (or Triton's interpreter).
"""

from typing import Any, NamedTuple

import torch
import triton
from torch import Tensor
from triton import language as tl


class Tiling(NamedTuple):
    """How a kernel is cut, by its number of channels: the fastest of 148 on an H200 (`benchmarks.acceleration`)."""

    tile: int
    """Pixels at once."""
    warps: int
    stages: int
    """Steps of a program's loop whose memory is fetched at once."""
    tiles: int = 1
    """Of a program, one after the other."""


FORWARD = {16: Tiling(128, 4, 2), 32: Tiling(128, 8, 3), 64: Tiling(64, 4, 4)}
TO_WEIGHTS = {16: Tiling(128, 1, 3, 8), 32: Tiling(64, 2, 2, 4), 64: Tiling(64, 4, 3, 4)}
BLOCK, SLOTS = 64, 64
"""Weights of a program that adds parts up, and parts at once."""


@triton.jit  # type: ignore[untyped-decorator]  # Triton has no types for it
def _convolve(  # type: ignore[no-untyped-def]
    x,
    weight,
    out,
    rows,
    height: tl.constexpr,
    width: tl.constexpr,
    channels: tl.constexpr,
    tile: tl.constexpr,
    back: tl.constexpr,
):
    """out[pixel, n] = sum of x[pixel + offset, k] * weight[n, offset, k]; with `back` * weight[k, -offset, n]."""
    pixel = tl.program_id(0) * tile + tl.arange(0, tile)
    inside = pixel < rows
    column = pixel % width
    line = (pixel // width) % height
    channel = tl.arange(0, channels)
    total = tl.zeros([tile, channels], tl.float32)
    for tap in tl.range(9):
        down = tap // 3 - 1
        right = tap % 3 - 1
        seen = inside & (line + down >= 0) & (line + down < height) & (column + right >= 0) & (column + right < width)
        where = (pixel + down * width + right)[:, None] * channels + channel[None, :]
        value = tl.load(x + where, mask=seen[:, None], other=0.0)
        if back:
            factor = tl.load(weight + channel[:, None] * (9 * channels) + (8 - tap) * channels + channel[None, :])
        else:
            factor = tl.load(weight + channel[None, :] * (9 * channels) + tap * channels + channel[:, None])
        total = tl.dot(value, factor, total, input_precision="ieee")
    tl.store(out + pixel[:, None] * channels + channel[None, :], total.to(out.dtype.element_ty), mask=inside[:, None])


@triton.jit  # type: ignore[untyped-decorator]  # Triton has no types for it
def _part_products(  # type: ignore[no-untyped-def]
    x,
    gradient,
    parts,
    rows,
    height: tl.constexpr,
    width: tl.constexpr,
    channels: tl.constexpr,
    tile: tl.constexpr,
    tiles: tl.constexpr,
):
    """This program's part of the gradient of the weights: gradient[pixel, n] * x[pixel + offset, k] of its pixels, for
    the three offsets of one line."""
    line_of_taps = tl.program_id(1)
    down = line_of_taps - 1
    channel = tl.arange(0, channels)
    left = tl.zeros([channels, channels], tl.float32)
    middle = tl.zeros([channels, channels], tl.float32)
    right = tl.zeros([channels, channels], tl.float32)
    for i in range(tiles):
        pixel = (tl.program_id(0) * tiles + i) * tile + tl.arange(0, tile)
        column = pixel % width
        line = (pixel // width) % height + down
        seen = (pixel < rows) & (line >= 0) & (line < height)
        where = pixel[:, None] * channels + channel[None, :]
        value = tl.trans(tl.load(gradient + where, mask=(pixel < rows)[:, None], other=0.0))
        where += down * width * channels
        near = tl.load(x + where - channels, mask=(seen & (column > 0))[:, None], other=0.0)
        left = tl.dot(value, near, left, input_precision="ieee")
        near = tl.load(x + where, mask=seen[:, None], other=0.0)
        middle = tl.dot(value, near, middle, input_precision="ieee")
        near = tl.load(x + where + channels, mask=(seen & (column < width - 1))[:, None], other=0.0)
        right = tl.dot(value, near, right, input_precision="ieee")
    out = parts + tl.program_id(0) * (9 * channels * channels) + line_of_taps * (3 * channels)
    out += channel[:, None] * (9 * channels) + channel[None, :]
    tl.store(out, left)
    tl.store(out + channels, middle)
    tl.store(out + 2 * channels, right)


@triton.jit  # type: ignore[untyped-decorator]  # Triton has no types for it
def _add_parts(parts, out, programs, size: tl.constexpr, block: tl.constexpr, slots: tl.constexpr):  # type: ignore[no-untyped-def]
    """out[i] = sum of parts[program, i]; `size` is a multiple of `block`."""
    where = tl.program_id(0) * block + tl.arange(0, block)
    total = tl.zeros([block], tl.float32)
    for first in range(0, programs, slots):
        program = first + tl.arange(0, slots)
        known = (program < programs)[:, None]
        total += tl.sum(tl.load(parts + program[:, None] * size + where[None, :], mask=known, other=0.0), axis=0)
    tl.store(out + where, total.to(out.dtype.element_ty))


def convolve(x: Tensor, weight: Tensor) -> Tensor:
    """3x3 convolution with padding 1 and as many channels out as in, 16, 32 or 64; differentiable.

    x: (batch, channels, height, width), weight: (channels, channels, 3, 3), both channels-last, of one type.
    """
    result: Tensor = _Convolve.apply(x, weight)
    return result


class _Convolve(torch.autograd.Function):
    """See `convolve`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return convolution(x, weight, FORWARD[x.shape[1]], back=False)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        gradient = gradients[0].contiguous(memory_format=torch.channels_last)
        channels = x.shape[1]
        to_x = to_weight = None
        if ctx.needs_input_grad[0]:
            to_x = convolution(gradient, weight, FORWARD[channels], back=True)
        if ctx.needs_input_grad[1]:
            to_weight = gradient_of_weight(x, gradient, weight, TO_WEIGHTS[channels])
        return to_x, to_weight


def convolution(x: Tensor, weight: Tensor, how: Tiling, *, back: bool) -> Tensor:
    """x, or a gradient of what came out, convolved with the weights, or with `back` with those turned around."""
    batch, channels, height, width = x.shape
    rows = batch * height * width
    out = torch.empty_like(x)
    shape = {"height": height, "width": width, "channels": channels, "tile": how.tile, "back": back}
    grid = (triton.cdiv(rows, how.tile),)
    _convolve[grid](x, weight, out, rows, **shape, num_warps=how.warps, num_stages=how.stages)
    return out


def gradient_of_weight(x: Tensor, gradient: Tensor, weight: Tensor, how: Tiling) -> Tensor:
    """Of the weights, from the images and the gradient of what came out."""
    batch, channels, height, width = x.shape
    rows = batch * height * width
    programs = triton.cdiv(rows, how.tile * how.tiles)
    parts = torch.empty(programs, 9 * channels * channels, device=x.device)
    shape = {"height": height, "width": width, "channels": channels, "tile": how.tile, "tiles": how.tiles}
    grid = (programs, 3)
    _part_products[grid](x, gradient, parts, rows, **shape, num_warps=how.warps, num_stages=how.stages)
    out = torch.empty_like(weight)
    size = 9 * channels * channels
    _add_parts[(size // BLOCK,)](parts, out, programs, size=size, block=BLOCK, slots=SLOTS)
    return out
