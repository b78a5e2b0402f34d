"""A suite: a list of runs in a YAML file, carried out one after the other and continued where it stopped."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from lucir_core.bench.class_order import PAPERS_SEED, parse_order
from lucir_core.bench.datasets.dataset import VALIDATION
from lucir_core.bench.protocol import make_protocol
from lucir_core.bench.spec import RunSpec, own_preset
from lucir_core.config.parsing import from_mapping
from lucir_core.errors import ConfigError
from lucir_core.registry import nearest_names


@dataclass(frozen=True)
class SuiteRun:
    """One line of a suite: a run for each seed."""

    method: str
    protocol: str
    phases: int = 5
    label: str = ""
    preset: str | None = None
    sizes: tuple[int, ...] | None = None
    images_per_class: int | None = None
    studies: tuple[str, ...] = ()
    seeds: tuple[int, ...] | None = None
    order: str | None = None
    """Default: the suite's."""


@dataclass(frozen=True)
class Heading:
    """The keys of a suite file beside its runs."""

    description: str
    dataset: str
    seeds: tuple[int, ...]
    preset: str = "cifar100"
    order: str = str(PAPERS_SEED)
    validation: int | None = None
    """Training images of each class that are held out and take the place of the test images."""

    def __post_init__(self) -> None:
        if not self.seeds:
            raise ConfigError("the suite has no seeds: give at least one")


@dataclass(frozen=True, kw_only=True)
class Suite(Heading):
    """A suite file, read."""

    name: str
    runs: tuple[SuiteRun, ...]
    settings: tuple[Mapping[str, Any], ...]
    """Of each run."""

    @property
    def data_name(self) -> str:
        """Of the data set as it is used."""
        return self.dataset if self.validation is None else f"{self.dataset}{VALIDATION}{self.validation}"

    def specs(self, class_count: int, chosen: Mapping[str, Any] | None = None, module: str = "") -> list[RunSpec]:
        """All runs, seed by seed so that a suite cut short compares everything.

        chosen: settings over all runs. module: what was imported before, with methods of one's own.
        """
        found = []
        for seed in dict.fromkeys(seed for run in self.runs for seed in run.seeds or self.seeds):
            for run, settings in zip(self.runs, self.settings, strict=True):
                if seed in (run.seeds or self.seeds):
                    order = parse_order(run.order or self.order, class_count, seed)
                    found.append(self._spec(run, {**settings, **(chosen or {})}, seed, order, module))
        names = [spec.name for spec in found]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ConfigError(f"suite {self.name} has two runs called {repeated[0]}: give one of them a label")
        return found

    def _spec(
        self, run: SuiteRun, settings: Mapping[str, Any], seed: int, order: tuple[int, ...], module: str
    ) -> RunSpec:
        protocol = make_protocol(
            run.protocol, run.phases, order, sizes=run.sizes, images_per_class=run.images_per_class
        )
        return RunSpec(
            dataset=self.data_name,
            protocol=protocol,
            method=run.method,
            preset=run.preset or own_preset(self.preset, run.method),
            settings=settings,
            seed=seed,
            label=run.label,
            studies=run.studies,
            module=module,
        )


def suite_names() -> tuple[str, ...]:
    """The suites of the package, sorted."""
    folder = resources.files("lucir_core.bench") / "suites"
    return tuple(sorted(item.name.removesuffix(".yaml") for item in folder.iterdir() if item.name.endswith(".yaml")))


def load_suite(name: str) -> Suite:
    """A suite of the package by name, or any other by the path of its file."""
    path = Path(name)
    if path.suffix in (".yaml", ".yml"):
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"the suite {path} cannot be read: {error.strerror}") from error
    elif name in suite_names():
        text = (resources.files("lucir_core.bench") / "suites" / f"{name}.yaml").read_text(encoding="utf-8")
    else:
        raise ConfigError(f"unknown suite {name!r}: {nearest_names(name, suite_names())}, or give a .yaml file")
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"the suite {name} is not YAML: {error}") from error
    return _suite(path.stem, values)


def _suite(name: str, values: Any) -> Suite:
    if not isinstance(values, Mapping) or not isinstance(values.get("runs"), list) or not values["runs"]:
        raise ConfigError(f"the suite {name} must be a mapping with a list of runs under 'runs'")
    runs, settings = [], []
    for number, entry in enumerate(values["runs"]):
        if not isinstance(entry, Mapping):
            raise ConfigError(f"suite {name}: runs[{number}] is {entry!r}: it must be a mapping")
        settings.append(dict(entry.get("settings") or {}))
        own = {key: value for key, value in entry.items() if key != "settings"}
        runs.append(from_mapping(SuiteRun, own, f"runs[{number}]."))
    facts = {key: value for key, value in values.items() if key != "runs"}
    heading = from_mapping(Heading, facts)
    return Suite(**vars(heading), name=name, runs=tuple(runs), settings=tuple(settings))
