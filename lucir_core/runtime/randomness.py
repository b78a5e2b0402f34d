"""Seeds of their own for every use, derived from one: nothing depends on what was drawn before.

That is what makes a resumed phase equal an uninterrupted one: an epoch's draws follow from its number alone.
"""

import hashlib
import operator

import torch

from lucir_core.errors import ConfigError


def derived_seed(seed: int, *purpose: str | int) -> int:
    """A 63-bit seed for one purpose, e.g. `derived_seed(1993, "phase", 2, "main", 17)`."""
    text = "/".join(str(part) for part in (seed, *purpose))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest()) >> 1


def generator(device: torch.device | str, seed: int, *purpose: str | int) -> torch.Generator:
    """A generator on `device` seeded for one purpose."""
    return torch.Generator(device).manual_seed(derived_seed(seed, *purpose))


def whole_seed(seed: int) -> int:
    """`seed` as a plain int, also one of NumPy's: a state writes it as JSON. Raises ConfigError where it is no whole
    number: 1 and 1.0 would draw different numbers."""
    try:
        return operator.index(seed)
    except TypeError:
        raise ConfigError(f"seed is {seed!r}: it must be a whole number") from None
