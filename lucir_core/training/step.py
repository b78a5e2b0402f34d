"""One optimiser step: at once, or as a CUDA graph that is recorded once and replayed."""

import logging
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lucir_core.runtime.acceleration import searched_convolutions
from lucir_core.runtime.distributed import World, average_gradients, shared_batch
from lucir_core.training.flops import counted

logger = logging.getLogger(__name__)

EAGER_STEPS = 3
"""Steps before a graph is recorded: libraries choose their kernels, the optimiser makes its buffers."""


class LossTerm(NamedTuple):
    """One component of a loss: its value, and the weight it enters the sum with."""

    value: Tensor
    weight: float = 1.0


LossFunction = Callable[[Tensor, Tensor], Mapping[str, LossTerm]]
"""From images (batch, 3, size, size) on the scale 0 to 255 and labels (batch,) to named loss terms."""


ChangeGradients = Callable[[Iterable[nn.Parameter]], None]


class Step:
    """Loss, gradients, optimiser. Gives the loss terms and their weighted sum, (terms + 1,), still on the device."""

    def __init__(
        self,
        loss: LossFunction,
        parameters: Iterable[nn.Parameter],
        optimiser: torch.optim.Optimizer,
        world: World,
        searched: int | None = None,
    ) -> None:
        """searched: the size of a batch for which the fastest convolutions are searched for."""
        self._loss, self._optimiser, self._world, self._searched = loss, optimiser, world, searched
        self._parameters = tuple(parameters)
        self.names: tuple[str, ...] = ()
        """Of the values, known after the first step."""

    def __call__(self, images: Tensor, labels: Tensor, noise: ChangeGradients | None = None) -> Tensor:
        """images: this process's share of the batch; labels: of the whole batch; noise: changes the gradients."""
        alone = self._world.size == 1
        with searched_convolutions(on=len(labels) == self._searched):
            with nullcontext() if alone else shared_batch(len(labels)):
                terms = self._loss(images, labels)
            total = torch.stack([term.value * term.weight for term in terms.values()]).sum()
            self._optimiser.zero_grad(set_to_none=True)
            total.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        if not alone:
            average_gradients(self._parameters)
        if noise is not None:
            noise(self._parameters)
        self._optimiser.step()
        self.names = (*terms, "total")
        return torch.stack([*(term.value.detach() for term in terms.values()), total.detach()])


class CapturedStep:
    """A step that becomes a CUDA graph after its first full batches; one launch instead of some thousand.

    Batches of another size run as they come. Where recording fails (a loss that asks the device for a number, an
    operation that graphs do not know) the steps go on without a graph, with a warning.
    """

    def __init__(self, step: Step, batch_size: int) -> None:
        self._step, self._batch_size = step, batch_size
        self._eager = 0
        self._graph: torch.cuda.CUDAGraph | None = None
        self._fails = False
        self._images = self._labels = self._values = torch.empty(0)
        self._stream: torch.cuda.Stream | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """See `Step`."""
        return self._step.names

    def __call__(self, images: Tensor, labels: Tensor, noise: ChangeGradients | None = None) -> Tensor:
        """See `Step`. The values are overwritten by the next step. With noise there is no graph."""
        if noise is not None:
            return self._step(images, labels, noise)
        if self._fails or len(labels) != self._batch_size:
            return self._step(images, labels)
        if self._eager < EAGER_STEPS:
            self._eager += 1
            return self._beside(images, labels)
        if self._graph is None and not self._record(images, labels):
            return self._step(images, labels)
        self._images.copy_(images)
        self._labels.copy_(labels)
        self._replay()
        return self._values

    def _beside(self, images: Tensor, labels: Tensor) -> Tensor:
        """A step on a stream of its own, as PyTorch asks for before a recording."""
        if self._stream is None:
            self._stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            values = self._step(images, labels)
        torch.cuda.current_stream().wait_stream(self._stream)
        return values

    def _record(self, images: Tensor, labels: Tensor) -> bool:
        """Record the step without carrying it out."""
        self._images, self._labels = images.clone(), labels.clone()
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):
                self._values = self._step(self._images, self._labels)
        except RuntimeError as error:
            self._fails = True
            logger.warning("the step cannot be recorded; training goes on without", extra={"error": str(error)})
            return False
        self._graph = graph
        return True

    def _replay(self) -> None:
        assert self._graph is not None  # noqa: S101  # recorded before
        self._graph.replay()


class MeteredStep:
    """A step whose first call, where asked for, counts the operations for each image."""

    def __init__(self, step: Step | CapturedStep, counts: bool) -> None:
        self._step, self._counts = step, counts
        self.flops_per_image: float | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """See `Step`."""
        return self._step.names

    def __call__(self, images: Tensor, labels: Tensor, noise: ChangeGradients | None = None) -> Tensor:
        """See `Step`."""
        if not self._counts or self.flops_per_image is not None:
            return self._step(images, labels, noise)
        values, operations = counted(partial(self._step, noise=noise), images, labels)
        self.flops_per_image = operations / len(images)
        return values
