"""Ours minus reported, line by line, and the command that makes any line again."""

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lucir_core.bench.class_order import named_orders, seeded_order
from lucir_core.bench.datasets.dataset import VALIDATION
from lucir_core.bench.pages.groups import Group
from lucir_core.bench.pages.published import Figure, PublishedTable
from lucir_core.bench.pages.tables import NOT_RUN, markdown, matching
from lucir_core.bench.protocol import Protocol
from lucir_core.bench.spec import RunSpec, own_preset

COUNTERPARTS = {
    "LUCIR": ("lucir", "cnn"),
    "LUCIR-CNN": ("lucir", "cnn"),
    "LUCIR-NME": ("lucir", "nme"),
    "iCaRL": ("icarl", "nme"),
    "iCaRL-NME": ("icarl", "nme"),
    "iCaRL-CNN": ("icarl", "cnn"),
    "LwF": ("lwf", "cnn"),
    "LwF.MC": ("lwf", "cnn"),
    "EEIL": ("eeil", "cnn"),
    "BiC": ("bic", "cnn"),
    "DER": ("der", "cnn"),
    "DER without pruning": ("der", "cnn"),
    "FOSTER": ("lucir_plus", "cnn"),
}
"""Published line -> (label, readout) of ours. FOSTER is what `lucir_plus` is measured by."""

_MEASURES = {"average": "average", "average_without_first": "average without the first step", "last": "last"}


def differences(tables: Sequence[PublishedTable], groups: Sequence[Group]) -> str:
    """Every published figure of a method that is here: reported, ours, difference."""
    header = ["protocol", "published", "reported", "ours", "difference", "source"]
    rows = [row for table in tables for row in _differences(table, groups)]
    return markdown(header, rows)


def _differences(table: PublishedTable, groups: Sequence[Group]) -> Iterator[list[str]]:
    for row in table.rows:
        if row.method not in COUNTERPARTS:
            continue
        label, readout = COUNTERPARTS[row.method]
        for phases, figure in row.figures.items():
            group = matching(groups, table, label, phases)
            measure, reported = _reported(figure, row.source)
            name = f"{label}, {readout.upper()} instead of {row.method}" if label == "lucir_plus" else row.method
            cells = [f"{table.protocol}-{phases}, {table.network}", name, f"{reported:.2f} ({_MEASURES[measure]})"]
            if group is None:
                yield [*cells, NOT_RUN, "", row.source]
            else:
                own = group.spread(readout, measure)
                yield [*cells, str(own), f"{own.mean - reported:+.2f}", row.source]


def _reported(figure: Figure, source: str) -> tuple[str, float]:
    """(measure of ours, value): the average where the source has it, otherwise the last accuracy."""
    if figure.average is not None:
        return "average_without_first" if "without the first step" in source else "average", figure.average
    if figure.last is None:
        raise ValueError(f"a published figure has neither an average nor a last accuracy: {figure}")
    return "last", figure.last


def commands(groups: Sequence[Group]) -> str:
    """For each line of the page, the command that carries its runs out again."""
    return "\n".join(f"    {_command(group)}" for group in groups) + "\n" if groups else f"{NOT_RUN}\n"


def _command(group: Group) -> str:
    first = group.first
    protocol, seeds = first["protocol"], [int(run["seed"]) for run in group.runs]
    method, preset = str(first["method"]), str(first["preset"])
    dataset, _, held_out = str(first["dataset"]).partition(VALIDATION)
    kind = dataset if dataset.startswith("cifar") else "folder"
    words = ["lucir", "bench", kind, "--data", "PATH", "--output", "DIR"]
    words += ["--validation", held_out] if held_out else []
    words += ["--protocol", str(protocol["name"])]
    if protocol["name"] == "custom":
        words += ["--sizes", ",".join(map(str, protocol["phase_sizes"]))]
    else:
        words += ["--phases", str(protocol["phases"])]
    words += ["--method", method, *_order(protocol["order"])]
    words += ["--preset", preset] if preset != own_preset("cifar100", method) else []
    words += ["--label", group.label] if group.label != method else []
    words += ["--images-per-class", str(protocol["images_per_class"])] if protocol["images_per_class"] else []
    words += ["--seed", str(seeds[0]), "--seeds", str(len(seeds))] if _consecutive(seeds) else []
    words += [word for key, value in _settings(first).items() for word in ("--set", f"{key}={_yaml(value)}")]
    line = shlex.join(words)
    return line if _consecutive(seeds) else f"for seed in {' '.join(map(str, seeds))}; do {line} --seed $seed; done"


def _settings(run: Mapping[str, Any]) -> dict[str, Any]:
    """What `--set` must say today: the run's own settings, and what the preset has changed since the run was made."""
    facts = run["protocol"]
    sizes, order = tuple(facts["phase_sizes"]), tuple(facts["order"])
    protocol = Protocol(facts["name"], sizes, order, facts["images_per_class"], facts["settings"])
    now = RunSpec(str(run["dataset"]), protocol, str(run["method"]), str(run["preset"]), run["settings"]).config
    written, resolved = _flat(run["config"]), _flat(now.to_dict())
    return {**run["settings"], **{key: value for key, value in written.items() if resolved.get(key) != value}}


def _flat(values: Mapping[str, Any], where: str = "") -> dict[str, Any]:
    """Values by dotted key."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= _flat(value, f"{where}{key}.") if isinstance(value, Mapping) else {where + key: value}
    return found


def _order(order: Sequence[int]) -> list[str]:
    if tuple(order) == seeded_order(len(order)):
        return []  # the command's default
    named = {given: name for name, given in named_orders(len(order)).items()}
    return ["--order", named.get(tuple(order)) or ",".join(map(str, order))]


def _consecutive(seeds: Sequence[int]) -> bool:
    return list(seeds) == list(range(seeds[0], seeds[0] + len(seeds)))


def _yaml(value: object) -> str:
    """As `--set` reads it."""
    return json.dumps(value) if not isinstance(value, str) else value
