"""Ways to compute the same phase faster. None is part of the mathematics: each can be turned off, and rounding is all
that changes. On a CPU every one of them gives the same bits in every run.
"""

import ctypes
import dataclasses
import importlib.util
import logging
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self

import torch

from lucir_core.errors import ConfigError
from lucir_core.registry import nearest_names

logger = logging.getLogger(__name__)

# Parameters of glibc's mallopt: how much free memory it keeps, and from which size on it asks the system for blocks.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEPT_BYTES, _LARGEST_HEAP_BLOCK = 2**31 - 1, 32 << 20


_COMPILERS = (os.environ.get("CXX") or "g++", "clang++")


@dataclass(frozen=True)
class Acceleration:
    """Which of them are used, where the device has them; `Acceleration.parse` reads them from a text."""

    channels_last: bool = True
    """Keep images and convolutions channels-last."""
    folded_teacher: bool = True
    """Multiply the normalisation of frozen networks into their convolutions."""
    keep_memory: bool = True
    """On a CPU: the process keeps freed memory for the next step instead of giving it back to the system (glibc)."""
    bfloat16: bool = True
    """On a GPU that has it: backbones compute in bfloat16; normalisation of features, cosines and losses do not."""
    captured: bool = True
    """On a GPU: teacher, student and optimiser of a step in one CUDA graph."""
    tensor_float32: bool = True
    """On a GPU: products of float32 matrices on its tensor cores; the fastest convolutions for whole batches of
    training are searched for."""

    fused: bool = True
    """On a GPU for which Triton makes kernels (it needs a C compiler), in residual networks for small images:
    normalisation, addition and activation in two kernels each way, convolutions of few channels by kernels of our own
    (in bfloat16), weights converted together (`lucir_core.models.fused`)."""
    epoch_graphs: bool = True
    """Where all images are at hand: the batches of a whole epoch by one loop that asks nobody
    (`lucir_core.training.recorded_epoch`). On a GPU gathering, augmentation, step and sums of a batch are one CUDA
    graph, and the last, smaller batch has its own."""

    compiled: bool = False
    """Where asked for: torch.compile for training and teacher, which fuses normalisation, activation and addition.
    Needs a C++ compiler, on a GPU Triton too, and takes a minute; what was compiled is kept for later processes."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """`auto` (the defaults), `off` (none), or names after a sign: `auto,+compiled`, `off,+channels_last`."""
        first, *changes = (part.strip() for part in text.split(","))
        if first not in ("auto", "off"):
            raise ConfigError(f"acceleration {text!r} begins with {first!r}: begin with auto or off")
        names = [field.name for field in dataclasses.fields(cls)]
        chosen = {name: first == "auto" and getattr(AUTO, name) for name in names}
        for change in changes:
            if change[:1] not in ("+", "-") or change[1:] not in names:
                raise ConfigError(f"acceleration has {change!r}: + or - and a name, {nearest_names(change[1:], names)}")
            chosen[change[1:]] = change[0] == "+"
        return cls(**chosen)

    def compiles(self, device: torch.device) -> bool:
        """Whether networks are compiled on this device."""
        return self.compiled and device.type in ("cpu", "cuda")

    def fuses(self, device: torch.device) -> bool:
        """Whether normalisations are to be computed with what follows them on this device; compiled networks do so."""
        return self.fused and not self.compiled and device.type == "cuda"

    def backbone_type(self, device: torch.device) -> torch.dtype | None:
        """The type that backbones compute in on this device; None for float32."""
        return torch.bfloat16 if self.bfloat16 and has_bfloat16(device) else None


AUTO = Acceleration()


def has_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 is worth it: on GPUs that multiply it natively.

    Not on processors. Measured on two cores with AVX-512 bfloat16 (no AMX), against float32: ResNet-32 on 32x32 pixels
    148 to 197 images per second, ResNet-18 on 128x128 pixels 0.74 to 0.52 s per step. The convolutions gain nothing.
    """
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)


def has_compiler() -> bool:
    """Whether torch.compile finds a C++ compiler."""
    return any(shutil.which(name) for name in _COMPILERS)


@contextmanager
def accelerated(choice: Acceleration, device: torch.device) -> Iterator[None]:
    """Process-wide switches while a phase runs; those of torch are put back. Raises ConfigError without a compiler.

    A GPU is the current one meanwhile: streams and graphs are made on that, whatever device the tensors are on.
    """
    if choice.compiles(device) and not has_compiler():
        raise ConfigError("acceleration compiled needs a C++ compiler: install g++, or leave +compiled out")
    if choice.compiles(device) and device.type == "cuda" and importlib.util.find_spec("triton") is None:
        raise ConfigError("acceleration compiled needs Triton on a GPU: install triton, or leave +compiled out")
    if choice.keep_memory and device.type == "cpu":
        keep_freed_memory()
    if device.type != "cuda":
        yield
        return
    with torch.cuda.device(device), _tensor_float32(on=choice.tensor_float32):
        yield


@contextmanager
def _tensor_float32(*, on: bool) -> Iterator[None]:
    precision, convolutions = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    if on:
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.allow_tf32 = True
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(precision)
        torch.backends.cudnn.allow_tf32 = convolutions


@contextmanager
def searched_convolutions(*, on: bool) -> Iterator[None]:
    """Whether cuDNN times its ways to convolve a shape it has not seen. That takes a second or more for a network, so
    it is worth it for whole batches of training alone, not for an epoch's last batch or for measuring."""
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = on
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before


def keep_freed_memory() -> bool:
    """Let glibc keep what is freed. True where it took the settings; other C libraries are left as they are.

    A step allocates and frees some gigabytes in blocks of megabytes. By default glibc gives them back to the system
    and every step allocates them again, page by page.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    settings = ((_M_MMAP_THRESHOLD, _LARGEST_HEAP_BLOCK), (_M_TRIM_THRESHOLD, _KEPT_BYTES))
    taken = all(mallopt(name, value) == 1 for name, value in settings)
    if not taken:
        logger.debug("the C library keeps its own policy for freed memory")
    return taken
