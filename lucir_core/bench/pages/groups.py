"""Results put together: the runs of one protocol and label over several seeds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np


class Spread(NamedTuple):
    """Over seeds, in percent. `deviation` is the sample's, None with one seed."""

    mean: float
    deviation: float | None
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.2f}" + ("" if self.deviation is None else f" ± {self.deviation:.2f}")


@dataclass(frozen=True)
class Group:
    """Runs that differ in nothing but the seed."""

    runs: tuple[Mapping[str, Any], ...]

    @property
    def first(self) -> Mapping[str, Any]:
        """The run of the lowest seed."""
        return self.runs[0]

    @property
    def label(self) -> str:
        """Name among the groups of the same protocol."""
        return str(self.first["label"])

    @property
    def title(self) -> str:
        """Of the protocol, e.g. `b50-5`."""
        protocol = self.first["protocol"]
        return f"{protocol['name']}-{protocol['phases']}"

    @property
    def plain(self) -> bool:
        """Whether it is comparable with a paper: the protocol and the preset taken as they are, or with settings that
        are the method's published ones for the protocol (the study `published`)."""
        published = not self.first["settings"] or "published" in self.first["studies"]
        return published and self.first["protocol"]["images_per_class"] is None

    @property
    def own_label(self) -> str:
        """The label without the network that stands behind it: `der` of `der-resnet18_cifar`."""
        return self.label.removesuffix(f"-{self.first['config']['network']}")

    @property
    def classes_seen(self) -> np.ndarray:
        """(phases,) classes known after each phase."""
        return np.cumsum(self.first["protocol"]["phase_sizes"])

    def curves(self, readout: str) -> np.ndarray:
        """(runs, phases) accuracy over all classes seen, in percent."""
        return 100.0 * np.asarray([run[readout]["curve"] for run in self.runs])

    def spread(self, readout: str, measure: str) -> Spread:
        """Of `average`, `last` or `forgetting` over the seeds."""
        values = 100.0 * np.asarray([run[readout][measure] for run in self.runs])
        deviation = float(values.std(ddof=1)) if len(values) > 1 else None
        return Spread(float(values.mean()), deviation, float(values.min()), float(values.max()))


def grouped(results: Sequence[Mapping[str, Any]]) -> list[Group]:
    """Groups sorted by data set, protocol and label; runs within by seed."""
    found: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for result in sorted(results, key=lambda result: int(result["seed"])):
        found.setdefault(_key(result), []).append(result)
    return [Group(tuple(runs)) for _, runs in sorted(found.items())]


def _key(result: Mapping[str, Any]) -> tuple[Any, ...]:
    protocol = result["protocol"]
    settings = repr(sorted(result["config"].items()))
    facts = (protocol["phase_sizes"], protocol["images_per_class"], result["data"])
    return (result["dataset"], protocol["name"], protocol["phases"], result["label"], repr(facts), settings)
