"""Results put together: the runs of one protocol and label over several seeds."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np

from lucir_core.bench.spec import names_another, own_preset

MISSING: Final = "-"
"""Stands where there is no value."""


def present(values: Iterable[float | None]) -> list[float]:
    """Those that are numbers: neither None nor NaN."""
    return [value for value in values if value is not None and not math.isnan(value)]


def shown(value: float, form: str = ".2f") -> str:
    """A number of a table; a dash in place of NaN."""
    return MISSING if math.isnan(value) else format(value, form)


class Spread(NamedTuple):
    """Over seeds, in percent; NaN where no seed has a value. `deviation` is the sample's, None with one seed."""

    mean: float
    deviation: float | None
    low: float
    high: float

    def __str__(self) -> str:
        return shown(self.mean) + ("" if self.deviation is None else f" ± {self.deviation:.2f}")


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
    def name(self) -> str:
        """What the page calls the runs: the label, with the method where that is the name of another one."""
        method = str(self.first["method"])
        return f"{self.label} ({method})" if names_another(self.label, method) else self.label

    @property
    def plain(self) -> bool:
        """Whether a method ran as its own preset and the protocol have it, without settings of the run."""
        return not self.first["settings"] and self.first["preset"] == own_preset("cifar100", str(self.first["method"]))

    @property
    def changed(self) -> str:
        """What a figure, which has no column for it, adds to the name of a method whose settings were changed."""
        keys = self.first["settings"] if self.label == self.first["method"] else ()
        return f", other {', '.join(keys)}" if keys else ""

    @property
    def classes_seen(self) -> np.ndarray:
        """(phases,) classes known after each phase."""
        return np.cumsum(self.first["protocol"]["phase_sizes"])

    def curves(self, readout: str) -> np.ndarray:
        """(runs, phases) accuracy over all classes seen, in percent."""
        return 100.0 * np.asarray([run[readout]["curve"] for run in self.runs])

    def spread(self, readout: str, measure: str) -> Spread:
        """Of `average`, `last` or `forgetting` over the seeds that have one."""
        values = 100.0 * np.asarray(present(run[readout][measure] for run in self.runs))
        if not len(values):
            return Spread(math.nan, None, math.nan, math.nan)
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
