"""Whether a step with an acceleration is the plain step: one step each from the same model on the same images.

Many steps say nothing, for training from a random start carries every rounding on. So the parameters stand still (their
learning rate is 0) for as many steps as a recording needs, and one step moves them. The same step in float64, without
any acceleration, stands beside: what is nearer to that than a bound, or than thrice the plain step, is equal.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lucir_core.bench.speed.loop_process import OurLoop
from lucir_core.config.phase_config import load_preset
from lucir_core.runtime.acceleration import Acceleration, accelerated
from lucir_core.training.schedule import Schedule
from lucir_core.training.step import EAGER_STEPS

BOUNDS: Mapping[str, float] = {"bfloat16": 0.2, "tensor_float32": 0.02}
"""Relative error of the step against the one in float64 that is stated for an acceleration; `BOUND` for all others."""
BOUND = 1e-3
TIMES_PLAIN = 3.0


@dataclass(frozen=True)
class MovesOnce(Schedule):
    """A learning rate of 0 but in the last epoch."""

    def lr_at(self, epoch: int) -> float:
        """See `Schedule`."""
        return self.lr if epoch == self.epochs - 1 else 0.0


def step_equality(
    images: np.ndarray, labels: np.ndarray, counts: tuple[int, int], device: str, names: Sequence[str], **settings: Any
) -> dict[str, dict[str, float | bool]]:
    """For `off` and for each acceleration alone: `error` against float64, the `bound` on it, and whether it is `equal`.

    images, labels: of one phase; counts: (old, new) classes; settings: changes of the preset `cifar100`. The batch is
    the same in all, not augmented.
    """
    still = {"augment.crop_padding": 0, "augment.flip": False, **settings}
    exact = _step(images, labels, counts, device, still, "off", in_float64=True)
    found: dict[str, dict[str, float | bool]] = {}
    plain = 0.0
    for name in ("off", *names):
        moved = _step(images, labels, counts, device, still, name if name == "off" else f"off,+{name}")
        error = float((moved - exact).norm() / exact.norm())
        plain = error if name == "off" else plain
        bound = max(BOUNDS.get(name, BOUND), TIMES_PLAIN * plain)
        found[name] = {"error": error, "bound": bound, "equal": error <= bound}
    return found


def _step(
    images: np.ndarray,
    labels: np.ndarray,
    counts: tuple[int, int],
    device: str,
    settings: Mapping[str, Any],
    acceleration: str,
    *,
    in_float64: bool = False,
) -> Tensor:
    """What one step adds to all trained parameters, as one vector in float64 on the CPU."""
    choice = Acceleration.parse(acceleration)
    config = load_preset("cifar100", settings)
    with accelerated(choice, torch.device(device)), _float64() if in_float64 else nullcontext():
        loop = OurLoop(config, images, labels, counts, device, choice)
        if in_float64:
            loop.run.model.double()
            loop.teacher.double()
        before = _vector(loop)
        loop.epochs(1, MovesOnce(EAGER_STEPS + 2, config.lr))
        return _vector(loop) - before


def _vector(loop: OurLoop) -> Tensor:
    parts = [parameter.detach().double().flatten().cpu() for parameter in loop.run.model.parameters()]
    return torch.cat(parts)


@contextmanager
def _float64() -> Iterator[None]:
    """While it lasts, what the library puts to float32 on purpose (heads, losses, normalisation) goes to float64."""
    single = torch.Tensor.float
    torch.Tensor.float = torch.Tensor.double  # type: ignore[method-assign]  # for the side computation alone
    try:
        yield
    finally:
        torch.Tensor.float = single  # type: ignore[method-assign]  # put back
