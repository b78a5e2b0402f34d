"""Which cut of the convolution kernels is fastest on this GPU, beside cuDNN.

    python -m benchmarks.acceleration.convolutions

Needs a GPU and Triton; takes some twenty seconds. The fastest cuts are the tables of
`lucir_core.models.fused.conv_kernels`. Every candidate is also compared with the same convolution in float64.
"""

import argparse
import itertools
from collections.abc import Callable, Iterator
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.result import show

BATCH = 128
SHAPES = ((16, 32), (32, 16), (64, 8))
"""Channels and side of the stages of a ResNet for 32 x 32 pixels."""
LAUNCHES = 30
WRONG = 0.005
"""Relative error against float64 above which a result is no rounding of bfloat16."""


class Candidate(NamedTuple):
    """One kernel with one cut."""

    kernel: str
    """`forward`, `to images` or `to weights`."""
    channels: int
    side: int
    tile: int
    warps: int
    stages: int
    tiles: int


def candidates() -> Iterator[Candidate]:
    """All that are tried."""
    tiles = {16: ((128, 4), (64, 4), (256, 8), (64, 2)), 32: ((64, 4), (128, 4), (128, 8)), 64: ((64, 4), (64, 8))}
    parts = {16: ((128, 1), (64, 1), (64, 2)), 32: ((64, 2), (64, 4), (128, 4)), 64: ((64, 4), (64, 8), (32, 4))}
    for channels, side in SHAPES:
        for (tile, warps), stages in itertools.product(tiles[channels], (1, 2, 3, 4)):
            yield Candidate("forward", channels, side, tile, warps, stages, 1)
            yield Candidate("to images", channels, side, tile, warps, stages, 1)
        for (tile, warps), stages, count in itertools.product(parts[channels], (1, 2, 3), (2, 4, 8)):
            yield Candidate("to weights", channels, side, tile, warps, stages, count)


def tensors(channels: int, side: int) -> tuple[Tensor, Tensor, Tensor]:
    """Images, gradient of what comes out, weights."""
    draws = torch.Generator("cuda").manual_seed(1)
    shapes = (BATCH, channels, side, side), (BATCH, channels, side, side), (channels, channels, 3, 3)
    made = (torch.randn(shape, device="cuda", generator=draws).bfloat16() for shape in shapes)
    one, two, three = (tensor.to(memory_format=torch.channels_last) for tensor in made)
    return one, two, three


def call(candidate: Candidate) -> Callable[[], Tensor]:
    """What is timed."""
    from lucir_core.models.fused import conv_kernels as kernels  # needs Triton

    images, gradient, weight = tensors(candidate.channels, candidate.side)
    how = kernels.Tiling(candidate.tile, candidate.warps, candidate.stages, candidate.tiles)
    if candidate.kernel == "to weights":
        return lambda: kernels.gradient_of_weight(images, gradient, weight, how)
    back = candidate.kernel == "to images"
    return lambda: kernels.convolution(gradient if back else images, weight, how, back=back)


def plain(kernel: str, images: Tensor, gradient: Tensor, weight: Tensor) -> Tensor:
    """The same by PyTorch."""
    if kernel == "forward":
        return functional.conv2d(images, weight, padding=1)
    wanted = [kernel == "to images", kernel == "to weights", False]
    sizes: Any = ([1, 1], [1, 1], [1, 1], False, [0, 0], 1, wanted)
    results = torch.ops.aten.convolution_backward(gradient, images, weight, None, *sizes)
    found: Tensor = results[0 if kernel == "to images" else 1]
    return found


def microseconds(compute: Callable[[], Tensor]) -> float:
    """Of one call, the least of three rounds, by a CUDA graph of many."""
    with torch.cuda.stream(torch.cuda.Stream()):
        for _ in range(3):
            compute()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(LAUNCHES):
            compute()
    rounds = []
    for _ in range(3):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        graph.replay()
        end.record()
        end.synchronize()
        rounds.append(begin.elapsed_time(end) / LAUNCHES * 1000)
    return min(rounds)


def compile_one(candidate: Candidate) -> None:
    """In a process of its own: what Triton makes is kept for the others."""
    call(candidate)()


def measure(chosen: list[Candidate]) -> dict[str, dict[str, Any]]:
    """By shape and kernel: cuDNN, the fastest candidate, and how far it is from float64."""
    torch.backends.cudnn.benchmark = True
    best: dict[str, dict[str, Any]] = {}
    for candidate in chosen:
        name = f"{candidate.channels} channels, {candidate.side} pixels, {candidate.kernel}"
        parts = tensors(candidate.channels, candidate.side)
        if name not in best:
            best[name] = {"cudnn_us": microseconds(partial(plain, candidate.kernel, *parts))}
        exact = plain(candidate.kernel, *(part.double() for part in parts))
        compute = call(candidate)
        error = float((compute().double() - exact).norm() / exact.norm())
        if error > WRONG:
            raise ArithmeticError(f"{candidate} is {error:.3f} from float64: more than the {WRONG} of rounding")
        time = microseconds(compute)
        if time < best[name].get("us", time + 1):
            best[name] |= {"us": time, "error": error, "cut": candidate._asdict()}
    return best


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, help="a JSON file")
    chosen_file = parser.parse_args().output
    chosen = list(candidates())
    with get_context("spawn").Pool() as pool:
        pool.map(compile_one, chosen, chunksize=4)
    result = {"gpu": torch.cuda.get_device_name(), "fastest": measure(chosen)}
    show(result, chosen_file)


if __name__ == "__main__":
    main()
