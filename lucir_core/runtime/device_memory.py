"""What to do when a device runs out of memory, said in the error."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from lucir_core.config.phase_config import PhaseConfig
from lucir_core.errors import DeviceMemoryError


@contextmanager
def explained(config: PhaseConfig) -> Iterator[None]:
    """Turn PyTorch's out-of-memory error into DeviceMemoryError, which names the settings that decide the need."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        remedy = f"lower batch_size (it is {config.batch_size}) and lr with it, or size (it is {config.size})"
        if config.frozen:
            refine = config.refine
            remedy = f"lower refine.batch_size (it is {refine.batch_size}) or refine.stages (it is {refine.stages})"
        elif config.method == "der":
            remedy += ", or limit der.max_backbones, for every phase adds a backbone"
        first_line = str(error).partition("\n")[0]
        raise DeviceMemoryError(
            f"the device ran out of memory with {config.network}: {remedy}; or learn on another device. What was "
            f"learnt before is kept, and the phase goes on from its last resume file ({first_line})"
        ) from error
