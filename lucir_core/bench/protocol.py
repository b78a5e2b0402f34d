"""How classes arrive: how many in each phase, in which order, with which memory.

`b50`: half of the classes first, the rest in equal phases (LUCIR's protocol; 5 phases give six evaluated models).
`b0`: all classes in equal steps from scratch (iCaRL's). `scaled`: small enough for two CPU cores.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lucir_core.bench.class_order import check_order
from lucir_core.config.phase_config import PhaseConfig
from lucir_core.errors import ConfigError

EXEMPLARS_PER_CLASS = 20
"""With b0 for all classes of the data set together, however few are known: 2000 on CIFAR-100, 20000 on ImageNet."""
SCALED_SIZES = (10, 5, 5)
SCALED_SETTINGS: Mapping[str, Any] = {
    "network": "resnet8",
    "epochs": 8,
    "batch_size": 64,
    "schedule": "cosine",
    "milestones": [],
}
"""The first 20 classes of the order with all their images, ResNet-8, 8 epochs. Sized by a timing: a training step took
1/494 s of one busy core per image, so 3 seeds of joint, lucir, icarl and finetune (1.4 million images, the teacher's
passes counted as a third) take 23 minutes on two such cores, and less on quiet ones.
"""


@dataclass(frozen=True)
class Protocol:
    """One protocol over one data set. Raises ConfigError on construction when its parts do not fit together."""

    name: str
    """`b50`, `b0`, `scaled` or `custom`."""
    phase_sizes: tuple[int, ...]
    """New classes of each phase, phase 0 first."""
    order: tuple[int, ...]
    """Class numbers of the data set in the order of arrival; those beyond the sum of `phase_sizes` are not used."""
    images_per_class: int | None = None
    """Train on the first so many images of each class; default: on all."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What the protocol itself sets in the phases' configuration, e.g. the memory."""

    def __post_init__(self) -> None:
        bad = [size for size in self.phase_sizes if size < 1]
        if not self.phase_sizes or bad:
            raise ConfigError(f"phase sizes are {list(self.phase_sizes)}: every phase needs at least one new class")
        needed = sum(self.phase_sizes)
        if needed > len(self.order):
            raise ConfigError(
                f"the phases {list(self.phase_sizes)} need {needed} classes, the order has {len(self.order)}: "
                "shorten the phases or name more classes"
            )
        check_order(self.order, max(self.order) + 1)
        if self.images_per_class is not None and self.images_per_class < 1:
            raise ConfigError(f"images per class are {self.images_per_class}: give 1 or more")

    @property
    def phases(self) -> int:
        """As the papers count: for `b0` the steps, otherwise the phases after phase 0."""
        return len(self.phase_sizes) - (self.name != "b0")

    @property
    def title(self) -> str:
        """Short and unique among the equal-sized protocols: `b50-5`."""
        return f"{self.name}-{self.phases}"

    def arriving(self, phase: int) -> tuple[int, ...]:
        """Class numbers of the data set that phase `phase` brings."""
        start = sum(self.phase_sizes[:phase])
        return self.order[start : start + self.phase_sizes[phase]]

    def seen(self, phase: int) -> tuple[int, ...]:
        """Class numbers known after phase `phase`, in output order."""
        return self.order[: sum(self.phase_sizes[: phase + 1])]

    def check(self, config: PhaseConfig) -> None:
        """Raise ConfigError where the last phase could not be learnt, before the first one is."""
        total, classes = config.memory_total, sum(self.phase_sizes)
        if total is not None and total < classes:
            raise ConfigError(f"memory_total is {total} for {classes} classes: give at least one exemplar per class")

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "name": self.name,
            "phases": self.phases,
            "phase_sizes": list(self.phase_sizes),
            "order": list(self.order),
            "images_per_class": self.images_per_class,
            "settings": dict(self.settings),
        }


def make_protocol(
    name: str,
    phases: int,
    order: Sequence[int],
    *,
    sizes: Sequence[int] | None = None,
    images_per_class: int | None = None,
) -> Protocol:
    """A protocol by name over all classes of `order`; `sizes` overrides the equal phases (then `custom`)."""
    names = ("b50", "b0", "scaled", "custom")
    if name not in names:
        raise ConfigError(f"unknown protocol {name!r}: choose {', '.join(names)}")
    chosen = tuple(order)
    if sizes is not None:
        return Protocol("custom", tuple(sizes), chosen, images_per_class)
    if name == "custom":
        raise ConfigError("the protocol custom needs the sizes of its phases, for example 50,20,20,10")
    if name == "scaled":
        return Protocol(name, SCALED_SIZES, chosen, images_per_class, SCALED_SETTINGS)
    if name == "b0":
        memory = {"memory_total": EXEMPLARS_PER_CLASS * len(chosen)}
        return Protocol(name, _equal(len(chosen), phases), chosen, images_per_class, memory)
    first = len(chosen) // 2
    equal = _equal(len(chosen) - first, phases)
    memory = {"exemplars_per_class": EXEMPLARS_PER_CLASS}
    return Protocol(name, (first, *equal), chosen, images_per_class, memory)


def _equal(classes: int, phases: int) -> tuple[int, ...]:
    if phases < 1 or classes < 1 or classes % phases:
        fitting = [count for count in range(1, classes + 1) if classes % count == 0]
        raise ConfigError(
            f"{classes} classes cannot be shared equally among {phases} phases: choose one of "
            f"{', '.join(map(str, fitting))}, or give the sizes of unequal phases"
        )
    return (classes // phases,) * phases
