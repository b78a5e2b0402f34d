"""One phase in several processes, as `torchrun` starts them, with the same result as in one, up to rounding.

The batch stays global. Every process draws the same order and the same augmentation and computes the features of its
share; features are gathered, and every process computes heads and losses of the whole batch. So a loss means what it
means in one process, however it averages. On the way back each process keeps the gradient of its share; gradients are
summed. Batch normalisation takes its statistics over the whole batch. Process 0 alone writes files.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from lucir_core.errors import ConfigError

T = TypeVar("T")

PATIENCE = timedelta(minutes=30)
"""How long a process waits for the others, which may be choosing exemplars or measuring a phase."""


@dataclass(frozen=True)
class World:
    """The processes of a run, and which of them this one is."""

    rank: int = 0
    size: int = 1

    @property
    def is_main_process(self) -> bool:
        """Whether this process writes files and talks to people."""
        return self.rank == 0

    def share(self, count: int) -> slice:
        """This process's part of a batch of `count` images; parts differ by one image at most."""
        return slice(count * self.rank // self.size, count * (self.rank + 1) // self.size)

    def sizes(self, count: int) -> list[int]:
        """Images of every process."""
        return [count * (rank + 1) // self.size - count * rank // self.size for rank in range(self.size)]

    def broadcast(self, value: T) -> T:
        """What process 0 says; with one process the value itself. Every process must call it."""
        if self.size == 1:
            return value
        box: list[Any] = [value]
        dist.broadcast_object_list(box, src=0)
        received: T = box[0]
        return received

    def wait(self) -> None:
        """Go on once every process has come here."""
        if self.size > 1:
            dist.barrier()


def world() -> World:
    """The processes that `processes` joined, or one."""
    if dist.is_available() and dist.is_initialized():
        return World(dist.get_rank(), dist.get_world_size())
    return World()


@contextmanager
def processes(device: str) -> Iterator[str]:
    """Join the processes that torchrun started; gives the device of this one. Without torchrun: `device` as it is.

    On GPUs process n of a machine takes `cuda:n` and they talk by NCCL, otherwise by Gloo.
    """
    if "RANK" not in os.environ or "WORLD_SIZE" not in os.environ:
        yield device
        return
    kind = torch.device(device).type
    if kind == "cuda":
        local = int(os.environ.get("LOCAL_RANK", "0"))
        if local >= torch.cuda.device_count():
            raise ConfigError(
                f"{torch.cuda.device_count()} GPUs are here for process {local + 1} of this machine: start torchrun "
                f"with --nproc-per-node {max(1, torch.cuda.device_count())}, or choose the device cpu"
            )
        device = f"cuda:{local}"
        torch.cuda.set_device(local)
    dist.init_process_group("nccl" if kind == "cuda" else "gloo", timeout=PATIENCE)
    try:
        yield device
    finally:
        dist.destroy_process_group()


_SHARED: ContextVar[int | None] = ContextVar("images of the global batch under way", default=None)


@contextmanager
def shared_batch(count: int) -> Iterator[None]:
    """While a loss is computed from this process's share of a batch of `count` images."""
    token = _SHARED.set(count)
    try:
        yield
    finally:
        _SHARED.reset(token)


def shares_batch() -> bool:
    """Whether this process computes its share of a batch."""
    return _SHARED.get() is not None


def gathered(features: Tensor) -> Tensor:
    """features: (share, dim) of this process; (batch, dim) of all. Outside of `shared_batch` the same tensor."""
    count = _SHARED.get()
    if count is None:
        return features
    sizes = world().sizes(count)
    if len(features) != sizes[world().rank]:
        raise ConfigError(
            f"{len(features)} features for a share of {sizes[world().rank]} images: a loss that adds images of its "
            "own to the batch runs in one process only"
        )
    result: Tensor = _Gather.apply(features, sizes)
    return result


class _Gather(torch.autograd.Function):
    """All shares of a batch, one below the other."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, sizes: list[int]) -> Tensor:
        rank = world().rank
        ctx.place = (sum(sizes[:rank]), sizes[rank])
        # Shares may differ by one image; what is sent may not.
        padded = features.new_zeros((max(sizes), *features.shape[1:]))
        padded[: len(features)] = features
        parts = [torch.empty_like(padded) for _ in sizes]
        dist.all_gather(parts, padded)
        return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        start, size = ctx.place
        # `average_gradients` divides by the number of processes: right for heads, which every process has in full.
        return gradients[0][start : start + size] * world().size, None


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """The mean over the processes of every gradient, in place, in one message."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if not gradients:
        return
    flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
    dist.all_reduce(flat)
    flat /= world().size
    parts = torch.split(flat, [gradient.numel() for gradient in gradients])
    for gradient, mean in zip(gradients, parts, strict=True):
        gradient.copy_(mean.view(gradient.shape))


@torch.no_grad()
def agree_on(model: nn.Module) -> None:
    """Every process takes the parameters and buffers of process 0."""
    if world().size == 1:
        return
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.numel():
            same = tensor.detach().contiguous()
            dist.broadcast(same, src=0)
            tensor.copy_(same)
