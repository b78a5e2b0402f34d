"""Random numbers of a batch, the same whether one process computes all of the batch or several share it."""

import torch
from torch import Tensor


class Draws:
    """Random numbers for a batch of which only a part may be at hand: all are drawn, those of the part are given."""

    def __init__(self, generator: torch.Generator, count: int, part: slice | None = None) -> None:
        self._generator, self._count, self._part = generator, count, part or slice(0, count)

    def uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        """Float32; -1 in `shape` stands for the batch."""
        empty = torch.empty(self._full(shape), device=self._generator.device)
        return self._mine(empty.uniform_(low, high, generator=self._generator), shape)

    def integers(self, below: int, *shape: int) -> Tensor:
        """0 to `below` - 1; -1 in `shape` stands for the batch."""
        device = self._generator.device
        return self._mine(torch.randint(below, self._full(shape), device=device, generator=self._generator), shape)

    def _full(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(self._count if side < 0 else side for side in shape)

    def _mine(self, drawn: Tensor, shape: tuple[int, ...]) -> Tensor:
        return drawn.narrow(shape.index(-1), self._part.start, self._part.stop - self._part.start)
