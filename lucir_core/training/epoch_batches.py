"""How the images of an epoch are shared among its batches."""

from collections.abc import Iterator

import torch
from torch import Tensor


def batch_sizes(count: int, batch_size: int) -> list[int]:
    """Sizes of the batches of `count` images; the last one may be short, but is never a single image.

    Batch normalisation has no variance over one image of one pixel, so a lone last image joins the batch before.
    """
    whole, rest = divmod(count, batch_size)
    sizes = [batch_size] * whole
    if rest == 1 and sizes:
        sizes[-1] += 1
    elif rest:
        sizes.append(rest)
    if batch_size == 1 and whole > 1:
        sizes[-2:] = [2]
    return sizes


def batches(indices: Tensor, batch_size: int, shuffle: torch.Generator) -> Iterator[Tensor]:
    """Shuffled batches of `batch_sizes`."""
    order = indices[torch.randperm(len(indices), device=indices.device, generator=shuffle)]
    yield from order.split(batch_sizes(len(order), batch_size))  # type: ignore[no-untyped-call]  # torch leaves it untyped
