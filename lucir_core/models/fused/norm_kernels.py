"""Batch normalisation, addition and activation as two Triton kernels forward and two backward, channels-last.

The first kernel of each pair sums over its part of the rows, the second one adds the parts up, each program for itself,
and goes over the elements. No atomic addition, so the same input gives the same bits. Variances are those of Chan,
Golub and LeVeque ("Updating formulae and a pairwise algorithm for computing sample variances", 1979): parts are centred
by their own mean before they are squared, so nothing cancels.

A map (batch, channels, height, width) in channels-last memory is a matrix (rows, channels), rows = batch x height x
width. Triton is imported with this file, so import it only where there is a GPU (or Triton's interpreter).
"""

from typing import Any, NamedTuple

import torch
import triton
from torch import Tensor, nn
from triton import language as tl

TILE = 8192
"""Elements that a program handles at once."""
PARTS = 8192
"""At most so many partial sums of a kind: a program of the second kernel reads them all."""
WARPS = 8


class Cut(NamedTuple):
    """How the rows of a map are shared among programs."""

    rows: int
    tile: int
    """Rows at once."""
    tiles: int
    """Of a program, one after the other."""
    programs: int


def cut(rows: int, channels: int) -> Cut:
    """`channels` is a power of two."""
    tile = max(1, TILE // channels)
    pieces = triton.cdiv(rows, tile)
    tiles = triton.cdiv(pieces, min(pieces, max(1, PARTS // channels)))
    return Cut(rows, tile, tiles, triton.cdiv(pieces, tiles))


@triton.jit  # type: ignore[untyped-decorator]  # Triton has no types for it
def _part_means(x, parts, rows, channels: tl.constexpr, tile: tl.constexpr, tiles: tl.constexpr):  # type: ignore[no-untyped-def]
    """Mean and sum of squared distances from it, of this program's rows, by channel."""
    program = tl.program_id(0)
    channel = tl.arange(0, channels)
    count = 0.0
    mean = tl.zeros([channels], tl.float32)
    squares = tl.zeros([channels], tl.float32)
    for i in range(tiles):
        row = (program * tiles + i) * tile + tl.arange(0, tile)
        inside = (row < rows)[:, None]
        value = tl.load(x + row[:, None] * channels + channel[None, :], mask=inside, other=0.0).to(tl.float32)
        more = tl.minimum(tl.maximum(rows - (program * tiles + i) * tile, 0), tile).to(tl.float32)
        own = tl.sum(value, axis=0) / tl.maximum(more, 1.0)
        centred = tl.where(inside, value - own[None, :], 0.0)
        distance = own - mean
        total = tl.maximum(count + more, 1.0)
        squares += tl.sum(centred * centred, axis=0) + distance * distance * (count * more / total)
        mean += distance * (more / total)
        count += more
    tl.store(parts + program * 2 * channels + channel, mean)
    tl.store(parts + program * 2 * channels + channels + channel, squares)


@triton.jit  # type: ignore[untyped-decorator]  # Triton has no types for it
def _scaled(x, residual, out, where, inside, scale, shift, adds: tl.constexpr, relu: tl.constexpr):  # type: ignore[no-untyped-def]
    """relu(x * scale + shift + residual) of the elements `where`, as far as they are `inside`."""
    value = tl.load(x + where, mask=inside, other=0.0).to(tl.float32) * scale[None, :] + shift[None, :]
    if adds:
        value += tl.load(residual + where, mask=inside, other=0.0).to(tl.float32)
    if relu:
        value = tl.maximum(value, 0.0, propagate_nan=tl.PropagateNan.ALL)
    tl.store(out + where, value.to(out.dtype.element_ty), mask=inside)


@triton.jit  # type: ignore[untyped-decorator]  # Triton has no types for it
def _normalise(  # type: ignore[no-untyped-def]
    x,
    residual,
    out,
    parts,
    weight,
    bias,
    running_mean,
    running_var,
    batches,
    saved,
    rows,
    programs,
    momentum,
    epsilon,
    channels: tl.constexpr,
    tile: tl.constexpr,
    tiles: tl.constexpr,
    slots: tl.constexpr,
    adds: tl.constexpr,
    relu: tl.constexpr,
):
    """Add the parts up, normalise, add, activate; the first program keeps mean, 1 / deviation and running figures."""
    program = tl.program_id(0)
    channel = tl.arange(0, channels)
    part = tl.arange(0, slots)
    known = (part < programs)[:, None]
    place = part[:, None] * 2 * channels + channel[None, :]
    means = tl.load(parts + place, mask=known, other=0.0)
    squares = tl.load(parts + place + channels, mask=known, other=0.0)
    counts = tl.minimum(tl.maximum(rows - part * (tile * tiles), 0), tile * tiles).to(tl.float32)[:, None]
    mean = tl.sum(means * counts, axis=0) / rows
    distance = tl.where(known, means - mean[None, :], 0.0)
    variance = (tl.sum(squares, axis=0) + tl.sum(distance * distance * counts, axis=0)) / rows
    inverse = 1.0 / tl.sqrt(variance + epsilon)
    if program == 0:
        tl.store(saved + channel, mean)
        tl.store(saved + channels + channel, inverse)
        before = tl.load(running_mean + channel)
        tl.store(running_mean + channel, before + momentum * (mean - before))
        unbiased = variance * (rows / tl.maximum(rows - 1.0, 1.0))
        before = tl.load(running_var + channel)
        tl.store(running_var + channel, before + momentum * (unbiased - before))
        tl.store(batches, tl.load(batches) + 1)
    scale = inverse * tl.load(weight + channel).to(tl.float32)
    shift = tl.load(bias + channel).to(tl.float32) - mean * scale
    for i in range(tiles):
        row = (program * tiles + i) * tile + tl.arange(0, tile)
        inside = (row < rows)[:, None]
        where = row[:, None] * channels + channel[None, :]
        _scaled(x, residual, out, where, inside, scale, shift, adds, relu)


@triton.jit  # type: ignore[untyped-decorator]  # Triton has no types for it
def _normalise_by_running(  # type: ignore[no-untyped-def]
    x,
    residual,
    out,
    weight,
    bias,
    running_mean,
    running_var,
    rows,
    epsilon,
    channels: tl.constexpr,
    tile: tl.constexpr,
    adds: tl.constexpr,
    relu: tl.constexpr,
):
    """As `_normalise`, by the running figures, which stay as they are."""
    channel = tl.arange(0, channels)
    row = tl.program_id(0) * tile + tl.arange(0, tile)
    inside = (row < rows)[:, None]
    where = row[:, None] * channels + channel[None, :]
    scale = tl.load(weight + channel).to(tl.float32) / tl.sqrt(tl.load(running_var + channel) + epsilon)
    shift = tl.load(bias + channel).to(tl.float32) - tl.load(running_mean + channel) * scale
    _scaled(x, residual, out, where, inside, scale, shift, adds, relu)


@triton.jit  # type: ignore[untyped-decorator]  # Triton has no types for it
def _part_sums(  # type: ignore[no-untyped-def]
    gradient,
    out,
    x,
    saved,
    parts,
    rows,
    channels: tl.constexpr,
    tile: tl.constexpr,
    tiles: tl.constexpr,
    relu: tl.constexpr,
):
    """Sums of the gradient, and of the gradient times the normalised input, of this program's rows, by channel."""
    program = tl.program_id(0)
    channel = tl.arange(0, channels)
    mean = tl.load(saved + channel)
    inverse = tl.load(saved + channels + channel)
    total = tl.zeros([channels], tl.float32)
    along = tl.zeros([channels], tl.float32)
    for i in range(tiles):
        row = (program * tiles + i) * tile + tl.arange(0, tile)
        inside = (row < rows)[:, None]
        where = row[:, None] * channels + channel[None, :]
        value = tl.load(gradient + where, mask=inside, other=0.0).to(tl.float32)
        if relu:
            value = tl.where(tl.load(out + where, mask=inside, other=0.0).to(tl.float32) > 0.0, value, 0.0)
        unit = (tl.load(x + where, mask=inside, other=0.0).to(tl.float32) - mean[None, :]) * inverse[None, :]
        total += tl.sum(value, axis=0)
        along += tl.sum(value * unit, axis=0)
    tl.store(parts + program * 2 * channels + channel, total)
    tl.store(parts + program * 2 * channels + channels + channel, along)


@triton.jit  # type: ignore[untyped-decorator]  # Triton has no types for it
def _differentiate(  # type: ignore[no-untyped-def]
    gradient,
    out,
    x,
    saved,
    parts,
    weight,
    to_x,
    to_residual,
    to_parameters,
    rows,
    programs,
    channels: tl.constexpr,
    tile: tl.constexpr,
    tiles: tl.constexpr,
    slots: tl.constexpr,
    adds: tl.constexpr,
    relu: tl.constexpr,
):
    """Add the sums up; gradients of the input, of what was added, and in the first program of scale and shift."""
    program = tl.program_id(0)
    channel = tl.arange(0, channels)
    part = tl.arange(0, slots)
    known = (part < programs)[:, None]
    place = part[:, None] * 2 * channels + channel[None, :]
    total = tl.sum(tl.load(parts + place, mask=known, other=0.0), axis=0)
    along = tl.sum(tl.load(parts + place + channels, mask=known, other=0.0), axis=0)
    if program == 0:
        tl.store(to_parameters + channel, along)
        tl.store(to_parameters + channels + channel, total)
    mean = tl.load(saved + channel)
    inverse = tl.load(saved + channels + channel)
    scale = inverse * tl.load(weight + channel).to(tl.float32)
    for i in range(tiles):
        row = (program * tiles + i) * tile + tl.arange(0, tile)
        inside = (row < rows)[:, None]
        where = row[:, None] * channels + channel[None, :]
        value = tl.load(gradient + where, mask=inside, other=0.0).to(tl.float32)
        if relu:
            value = tl.where(tl.load(out + where, mask=inside, other=0.0).to(tl.float32) > 0.0, value, 0.0)
            if adds:
                tl.store(to_residual + where, value.to(to_residual.dtype.element_ty), mask=inside)
        unit = (tl.load(x + where, mask=inside, other=0.0).to(tl.float32) - mean[None, :]) * inverse[None, :]
        value = (value - (total / rows)[None, :] - unit * (along / rows)[None, :]) * scale[None, :]
        tl.store(to_x + where, value.to(to_x.dtype.element_ty), mask=inside)


class Facts(NamedTuple):
    """Of a normalisation, beside its parameters."""

    running_mean: Tensor
    running_var: Tensor
    batches: Tensor
    momentum: float
    epsilon: float
    relu: bool


def facts_of(norm: nn.BatchNorm2d, *, relu: bool) -> Facts:
    """Of a normalisation that keeps running figures, as those of our networks do."""
    mean, variance, batches, momentum = norm.running_mean, norm.running_var, norm.num_batches_tracked, norm.momentum
    assert mean is not None and variance is not None and batches is not None and momentum is not None  # noqa: S101, PT018  # as our networks make them
    return Facts(mean, variance, batches, momentum, norm.eps, relu)


def normalise_training(x: Tensor, residual: Tensor | None, weight: Tensor, bias: Tensor, facts: Facts) -> Tensor:
    """relu(normalised(x) + residual) by the statistics of the batch; running figures move as `nn.BatchNorm2d`'s do.

    x, residual: (batch, channels, height, width), channels-last; channels a power of two; residual may be None.
    """
    result: Tensor = _NormaliseTraining.apply(x, residual, weight, bias, facts)
    return result


class _NormaliseTraining(torch.autograd.Function):
    """See `normalise_training`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, residual: Tensor | None, weight: Tensor, bias: Tensor, facts: Facts) -> Tensor:
        channels = x.shape[1]
        how = cut(x.numel() // channels, channels)
        parts = torch.empty(how.programs, 2, channels, device=x.device)
        saved = torch.empty(2, channels, device=x.device)
        out = torch.empty_like(x)
        shape = {"channels": channels, "tile": how.tile, "tiles": how.tiles, "num_warps": WARPS}
        _part_means[(how.programs,)](x, parts, how.rows, **shape)
        _normalise[(how.programs,)](
            x,
            x if residual is None else residual,
            out,
            parts,
            weight,
            bias,
            facts.running_mean,
            facts.running_var,
            facts.batches,
            saved,
            how.rows,
            how.programs,
            facts.momentum,
            facts.epsilon,
            slots=triton.next_power_of_2(how.programs),
            adds=residual is not None,
            relu=facts.relu,
            **shape,
        )
        ctx.save_for_backward(x, out, weight, saved)
        ctx.adds, ctx.relu = residual is not None, facts.relu
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, out, weight, saved = ctx.saved_tensors
        gradient = gradients[0].contiguous(memory_format=torch.channels_last)
        channels = x.shape[1]
        how = cut(x.numel() // channels, channels)
        parts = torch.empty(how.programs, 2, channels, device=x.device)
        to_parameters = torch.empty(2, channels, device=x.device)
        to_x = torch.empty_like(x)
        stores = ctx.adds and ctx.relu
        to_residual = torch.empty_like(x) if stores else gradient
        shape = {"channels": channels, "tile": how.tile, "tiles": how.tiles, "num_warps": WARPS, "relu": ctx.relu}
        _part_sums[(how.programs,)](gradient, out, x, saved, parts, how.rows, **shape)
        _differentiate[(how.programs,)](
            gradient,
            out,
            x,
            saved,
            parts,
            weight,
            to_x,
            to_residual,
            to_parameters,
            how.rows,
            how.programs,
            slots=triton.next_power_of_2(how.programs),
            adds=stores,
            **shape,
        )
        scale, shift = to_parameters.to(weight.dtype).unbind(0)
        return to_x, to_residual if ctx.adds else None, scale, shift, None


def normalise_frozen(x: Tensor, residual: Tensor | None, weight: Tensor, bias: Tensor, facts: Facts) -> Tensor:
    """relu(normalised(x) + residual) by the running figures; no gradients. Shapes as in `normalise_training`."""
    channels = x.shape[1]
    rows = x.numel() // channels
    tile = max(1, TILE // channels)
    out = torch.empty_like(x)
    _normalise_by_running[(triton.cdiv(rows, tile),)](
        x,
        x if residual is None else residual,
        out,
        weight,
        bias,
        facts.running_mean,
        facts.running_var,
        rows,
        facts.epsilon,
        channels=channels,
        tile=tile,
        adds=residual is not None,
        relu=facts.relu,
        num_warps=WARPS,
    )
    return out
