"""Whole epochs without the host: order, gathering, augmentation, step and sums in CUDA graphs, one launch a batch.

The steps read which images are theirs from tensors that stay in place: the epoch's order, and how far it is. One graph
for every size of a batch, so the last, smaller batch of an epoch has its own. On a processor the same code runs without
graphs, to the bits of the plain loop.
"""

import logging
from collections.abc import Callable

import torch
from torch import Tensor

from lucir_core.config.phase_config import Augmentation
from lucir_core.data.augment import augment_batch
from lucir_core.data.phase_data import ImageSet
from lucir_core.runtime.randomness import derived_seed
from lucir_core.training.epoch_batches import batch_sizes
from lucir_core.training.step import EAGER_STEPS, MeteredStep

logger = logging.getLogger(__name__)


class RecordedEpoch:
    """The batches of an epoch: what the plain loop of `trainer` computes. Only for images that are on the device."""

    def __init__(
        self,
        step: MeteredStep,
        images: ImageSet,
        indices: Tensor,
        batch_size: int,
        size: int,
        augment: Augmentation,
        *,
        contiguous: bool,
    ) -> None:
        self._step, self._images, self._indices = step, images, indices
        self._size, self._augment, self._contiguous = size, augment, contiguous
        self._sizes = batch_sizes(len(indices), batch_size)
        device = images.device
        self._order = indices.clone()
        self._place = torch.zeros(1, dtype=torch.int64, device=device)
        self._totals: Tensor | None = None
        # One generator for all epochs, seeded again for each: a graph knows the one it was recorded with.
        self._random = torch.Generator(device)
        self._eager = dict.fromkeys(set(self._sizes), 1) | {self._sizes[0]: EAGER_STEPS}
        self._graphs: dict[int, Callable[[], None]] = {}
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]  # torch leaves it untyped

    def run(self, seed: int, *purpose: str | int) -> dict[str, float]:
        """Mean loss terms of the epoch whose draws belong to `purpose`."""
        self._random.manual_seed(derived_seed(seed, *purpose))
        shuffled = torch.randperm(len(self._indices), device=self._indices.device, generator=self._random)
        self._order.copy_(self._indices[shuffled])
        self._place.zero_()
        if self._totals is not None:
            self._totals.zero_()
        for count in self._sizes:
            self._one(count)
        assert self._totals is not None  # noqa: S101  # a stage has images
        means = self._totals.div(len(self._sizes)).tolist()
        return dict(zip(self._step.names, means, strict=True))

    def _one(self, count: int) -> None:
        if count in self._graphs:
            self._graphs[count]()
        elif self._stream is None:
            self._batch(count)
        elif self._eager[count]:
            # Before a recording: libraries choose their kernels, the optimiser makes its buffers.
            self._eager[count] -= 1
            self._stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self._stream):
                self._batch(count)
            torch.cuda.current_stream().wait_stream(self._stream)
        else:
            self._graphs[count] = self._recorded(count)
            self._graphs[count]()

    def _batch(self, count: int) -> None:
        """Gather, augment, step, add up; nothing is read back."""
        mine = self._order[self._place + torch.arange(count, device=self._order.device)]
        views = augment_batch(self._images.gather(mine), self._size, self._augment, self._random)
        views = views.contiguous() if self._contiguous else views
        values = self._step(views, self._images.labels[mine])
        if self._totals is None:
            self._totals = torch.zeros_like(values)
        self._totals.add_(values)
        self._place.add_(count)

    def _recorded(self, count: int) -> Callable[[], None]:
        """The batch as a graph, or as it is where it cannot be recorded, with a warning."""
        graph = torch.cuda.CUDAGraph()
        try:
            graph.register_generator_state(self._random)
            with torch.cuda.graph(graph):
                self._batch(count)
        except RuntimeError as error:
            logger.warning("the batch cannot be recorded; training goes on without", extra={"error": str(error)})
            return lambda: self._batch(count)
        return graph.replay
