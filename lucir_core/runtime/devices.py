"""Where a phase is trained: which device, and with how many threads of the CPU."""

import errno

import torch

from lucir_core.config.phase_config import PhaseConfig
from lucir_core.errors import ConfigError

SMALL_STEP = 10_000
"""Pixels in a batch. Measured on two shared cores with one thread and with two: an epoch of ``digits`` (2,304 pixels)
0.6 to 0.9 and 2.1 to 2.9 s, one of ``small`` (32,768) 65 to 69 and 69 to 70 s; two are for larger steps, quieter cores.
"""


def choose_device(wanted: str) -> str:
    """``auto`` is CUDA where there is one. Raises ``OSError`` for a device that this machine does not have."""
    if wanted == "auto":
        return "cuda:0" if torch.cuda.is_available() else "cpu"
    if wanted.startswith("cuda") and not torch.cuda.is_available():
        raise OSError(
            errno.ENODEV,
            f"the device {wanted} cannot be used: PyTorch finds no CUDA device here; set learning.device to auto",
        )
    return wanted


def usable_device(name: str | torch.device) -> torch.device:
    """The device. Raises ConfigError where PyTorch does not know it or this machine does not have it."""
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).cpu()
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, AssertionError) as error:
        (reason, *_) = str(error).splitlines()
        raise ConfigError(f"device is {str(name)!r}: give one that is here, cpu, cuda or cuda:1 ({reason})") from error
    return device


def choose_threads(wanted: int | None, config: PhaseConfig) -> int:
    """Threads of a CPU: ``wanted``, else one where a step is over before a second one has woken up, else all cores."""
    if wanted is not None:
        return wanted
    return 1 if config.batch_size * config.size**2 < SMALL_STEP else torch.get_num_threads()
