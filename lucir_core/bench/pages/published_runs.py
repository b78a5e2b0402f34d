"""Which of our runs may stand beside a published figure: those whose settings are the published run's.

What a method's published run has is written down once, in its preset and in what the protocol sets for it: the memory,
the epochs (DER's in equal steps are not those of half of the classes), the schedule. The table adds its network. A run
counts when all of its settings come to the same, however they were given, on CIFAR-100 with all images, the protocol's
phases, and classes in the order of the papers or drawn with the run's own seed.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Final, NamedTuple

from lucir_core.bench.class_order import PAPERS_SEED, seeded_order
from lucir_core.bench.pages.groups import Group
from lucir_core.bench.pages.published import PublishedTable, published_tables
from lucir_core.bench.protocol import make_protocol
from lucir_core.bench.spec import CIFAR, RunSpec, own_preset
from lucir_core.errors import ConfigError

DATASET: Final = "cifar100"
"""Of every published table."""
PROTOCOLS: Final = ("b50", "b0")
_SHOWN: Final = 4
"""Differences that are told of one run."""


class OwnRow(NamedTuple):
    """A line of ours: a method with a preset, as one of its readouts answers."""

    title: str
    method: str
    readout: str
    variant: str = ""
    """Another preset than the method's own."""

    @property
    def preset(self) -> str:
        """Where its settings are written down."""
        return self.variant or own_preset(DATASET, self.method)


OWN_ROWS: Final = (
    OwnRow("joint", "joint", "cnn"),
    OwnRow("lucir, CNN", "lucir", "cnn"),
    OwnRow("lucir, NME", "lucir", "nme"),
    OwnRow("lucir_plus, CNN", "lucir", "cnn", "cifar100_lucir_plus"),
    OwnRow("icarl, CNN", "icarl", "cnn"),
    OwnRow("icarl, NME", "icarl", "nme"),
    OwnRow("icarl_original, NME", "icarl_original", "nme"),
    OwnRow("lwf", "lwf", "cnn"),
    OwnRow("eeil", "eeil", "cnn"),
    OwnRow("bic", "bic", "cnn"),
    OwnRow("der", "der", "cnn"),
    OwnRow("finetune", "finetune", "cnn"),
)


def matching(groups: Sequence[Group], table: PublishedTable, own: OwnRow, phases: int) -> Group | None:
    """Our runs that may stand beside a published figure; None where there are none."""
    for group in groups:
        protocol = group.first["protocol"]
        here = (protocol["name"], protocol["phases"]) == (table.protocol, phases)
        if here and not departures(group, own, table.network):
            return group
    return None


def unlike_published(groups: Sequence[Group]) -> Iterator[tuple[Group, list[str]]]:
    """The runs of the papers' protocols that stand beside no published figure, and what of them differs."""
    for group in groups:
        protocol = group.first["protocol"]["name"]
        networks = [table.network for table in published_tables() if table.protocol == protocol]
        rows = [own for own in OWN_ROWS if own.method == group.first["method"]]
        if not networks or not rows:
            continue
        own = next((own for own in rows if own.preset == group.first["preset"]), rows[0])
        used = str(group.first["config"]["network"])
        differing = departures(group, own, used if used in networks else networks[0])
        if differing:
            more = len(differing) - _SHOWN
            yield group, differing[:_SHOWN] + ([f"{more} more"] if more > 0 else [])


def departures(group: Group, own: OwnRow, network: str) -> list[str]:
    """In what the runs differ from the published one of a method with a network; empty where they may be compared."""
    first = group.first
    if first["method"] != own.method:
        return [f"the method is {first['method']}"]
    facts = first["protocol"]
    found = []
    if first["dataset"] != DATASET or first.get("reading"):
        found.append(f"the data is {first['dataset']}")
    if facts["images_per_class"] is not None:
        found.append(f"{facts['images_per_class']} images per class")
    if not all(_usual_order(run) for run in group.runs):
        found.append("another order of the classes")
    if (published := _published(own, facts["name"], facts["phases"], network)) is None:
        return [*found, f"no paper has the protocol {group.title}"]
    sizes, config = published
    if tuple(facts["phase_sizes"]) != sizes:
        found.append(f"phases of {', '.join(map(str, facts['phase_sizes']))} classes")
    return found + list(_changes(config, flat(first["config"])))


def _usual_order(run: Mapping[str, Any]) -> bool:
    order = tuple(run["protocol"]["order"])
    return order in {seeded_order(CIFAR[DATASET], seed) for seed in (PAPERS_SEED, int(run["seed"]))}


@cache
def _published(own: OwnRow, protocol: str, phases: int, network: str) -> tuple[tuple[int, ...], dict[str, Any]] | None:
    """The classes of each phase, and the settings by dotted key; None for what no paper has."""
    if protocol not in PROTOCOLS:
        return None
    try:
        made = make_protocol(protocol, phases, seeded_order(CIFAR[DATASET]))
    except ConfigError:
        return None
    spec = RunSpec(DATASET, made, own.method, own.preset, {"network": network})
    return made.phase_sizes, flat(spec.config.to_dict())


def _changes(published: Mapping[str, Any], ours: Mapping[str, Any]) -> Iterator[str]:
    for key in {**published, **ours}:
        was, now = published.get(key), ours.get(key)
        if was != now:
            yield f"{key} is {_word(now)}, published {_word(was)}"


def _word(value: object) -> str:
    return "-" if value is None else str(value)


def flat(values: Mapping[str, Any], where: str = "") -> dict[str, Any]:
    """Values by dotted key."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= flat(value, f"{where}{key}.") if isinstance(value, Mapping) else {where + key: value}
    return found
