"""The command that makes any line of the page again."""

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from lucir_core.bench.class_order import named_orders, seeded_order
from lucir_core.bench.datasets.dataset import VALIDATION
from lucir_core.bench.pages.groups import Group
from lucir_core.bench.pages.published_runs import flat
from lucir_core.bench.pages.tables import NOT_RUN
from lucir_core.bench.protocol import Protocol
from lucir_core.bench.spec import CIFAR, STUDIES, RunSpec, own_preset, usual_label
from lucir_core.methods import METHODS

FOLDER_PRESET = "photo_scratch"
"""What a folder of images is learnt with where nothing else is said."""
TEST_EVERY = 5
"""Without a folder `val`, every so-many-th image of a folder is a test image where nothing else is said."""


def commands(groups: Sequence[Group]) -> str:
    """For each line of the page, the commands that carry its runs out again: one where only their seeds differ."""
    lines = [line for group in groups for line in _commands(group)]
    return "\n".join(f"    {line}" for line in lines) + "\n" if lines else f"{NOT_RUN}\n"


def _commands(group: Group) -> list[str]:
    seeds: dict[tuple[str, ...], list[int]] = {}
    for run in group.runs:
        seeds.setdefault(tuple(_words(run)), []).append(int(run["seed"]))
    return [_over_seeds(shlex.join(words), found) for words, found in seeds.items()]


def _over_seeds(line: str, seeds: Sequence[int]) -> str:
    if list(seeds) == list(range(seeds[0], seeds[0] + len(seeds))):
        return f"{line} --seed {seeds[0]} --seeds {len(seeds)}"
    return f"for seed in {' '.join(map(str, seeds))}; do {line} --seed $seed; done"


def _words(run: Mapping[str, Any]) -> list[str]:
    """All of the command but its seeds."""
    protocol, method, preset = run["protocol"], str(run["method"]), str(run["preset"])
    reading, (name, _, held_out) = run.get("reading"), str(run["dataset"]).partition(VALIDATION)
    of_folder = bool(reading) or name not in CIFAR
    dataset = str(run["dataset"]) if of_folder else name
    words = ["lucir", "bench", "folder" if of_folder else dataset, "--data"]
    words += [f"PATH/{dataset}" if of_folder else "PATH", "--output", "DIR"]  # a folder's name is the data set's
    words += ["--import", str(run["module"])] if run.get("module") else []
    words += _reading(reading) if reading else []
    words += ["--validation", held_out] if held_out and not of_folder else []
    words += ["--protocol", str(protocol["name"])]
    if protocol["name"] == "custom":
        words += ["--sizes", ",".join(map(str, protocol["phase_sizes"]))]
    else:
        words += ["--phases", str(protocol["phases"])]
    words += ["--method", method, *_order(protocol["order"], int(run["seed"]), None if of_folder else CIFAR[dataset])]
    words += ["--preset", preset] if preset != own_preset(FOLDER_PRESET if of_folder else "cifar100", method) else []
    words += ["--label", run["label"]] if run["label"] != usual_label(method, preset, on_cifar=not of_folder) else []
    words += ["--images-per-class", str(protocol["images_per_class"])] if protocol["images_per_class"] else []
    words += [word for study in run["studies"] if study in STUDIES for word in ("--study", study)]
    return words + [word for key, value in _settings(run).items() for word in ("--set", f"{key}={_yaml(value)}")]


def _reading(reading: Mapping[str, Any]) -> list[str]:
    words = ["--test-every", str(reading["test_every"])] if reading["test_every"] != TEST_EVERY else []
    return words + (["--subset", str(reading["subset"])] if reading["subset"] is not None else [])


def _settings(run: Mapping[str, Any]) -> dict[str, Any]:
    """What `--set` must say today: the run's own settings, and what the preset has changed since the run was made."""
    if run["method"] not in METHODS.names():
        return dict(run["settings"])  # its module was not imported: what its settings were once stands in the file
    facts = run["protocol"]
    sizes, order = tuple(facts["phase_sizes"]), tuple(facts["order"])
    protocol = Protocol(facts["name"], sizes, order, facts["images_per_class"], facts["settings"])
    now = RunSpec(str(run["dataset"]), protocol, str(run["method"]), str(run["preset"]), run["settings"]).config
    written, resolved = flat(run["config"]), flat(now.to_dict())
    return {**run["settings"], **{key: value for key, value in written.items() if resolved.get(key) != value}}


def _order(order: Sequence[int], seed: int, classes: int | None) -> list[str]:
    """classes: of the data set; None where nobody knows, and the order has all of them."""
    given, count = tuple(order), len(order) if classes is None else classes
    if given == seeded_order(count):
        return []  # the command's default
    if given == seeded_order(count, seed):
        return ["--order", "run"]
    named = {order: name for name, order in named_orders(count).items()}
    return ["--order", named.get(given) or ",".join(map(str, given))]


def _yaml(value: object) -> str:
    """As `--set` reads it: text and numbers as they are usually written, unless YAML would read something else there.

    To YAML 1e-05 is text, and 1.0e-05 the number.
    """
    plain = value if isinstance(value, str) else json.dumps(value)
    for text in (plain, json.dumps(value)):
        if _reads_as(text, value):
            return text
    return yaml.safe_dump(value, default_flow_style=True, width=float("inf")).removesuffix("...\n").strip()


def _reads_as(text: str, value: object) -> bool:
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError:
        return False
    return bool(found == value) and type(found) is type(value)
