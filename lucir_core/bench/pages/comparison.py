"""Ours minus reported, line by line."""

from collections.abc import Iterator, Sequence

from lucir_core.bench.pages.groups import Group, shown
from lucir_core.bench.pages.published import Figure, PublishedTable
from lucir_core.bench.pages.published_runs import OWN_ROWS, matching
from lucir_core.bench.pages.tables import NOT_RUN, markdown

COUNTERPARTS = {
    "LUCIR": "lucir, CNN",
    "LUCIR-CNN": "lucir, CNN",
    "LUCIR-NME": "lucir, NME",
    "iCaRL": "icarl, NME",
    "iCaRL-NME": "icarl, NME",
    "iCaRL-CNN": "icarl, CNN",
    "LwF": "lwf",
    "EEIL": "eeil",
    "BiC": "bic",
    "DER": "der",
    "DER without pruning": "der",
    "FOSTER": "lucir_plus, CNN",
}
"""Published line -> ours, by its title. FOSTER is what `lucir_plus` is measured by, which the page says. LwF.MC has no
line of ours: its sigmoids and its schedule are iCaRL's."""
INSTEAD = frozenset({"FOSTER"})
"""Published lines beside which another method of ours stands."""

_MEASURES = {"average": "average", "average_without_first": "average without the first step", "last": "last"}


def differences(tables: Sequence[PublishedTable], groups: Sequence[Group]) -> str:
    """Every published figure of a method that is here: reported, ours, difference."""
    header = ["protocol", "published", "reported", "ours", "difference", "source"]
    rows = [row for table in tables for row in _differences(table, groups)]
    return markdown(header, rows)


def _differences(table: PublishedTable, groups: Sequence[Group]) -> Iterator[list[str]]:
    for row in table.rows:
        title = row.ours or COUNTERPARTS.get(row.method)
        if title is None:
            continue
        own = next(own for own in OWN_ROWS if own.title == title)
        for phases, figure in row.figures.items():
            group = matching(groups, table, own, phases)
            measure, reported = _reported(figure, row.source)
            name = f"{own.title} instead of {row.method}" if row.method in INSTEAD else row.method
            cells = [f"{table.protocol}-{phases}, {table.network}", name, f"{reported:.2f} ({_MEASURES[measure]})"]
            if group is None:
                yield [*cells, NOT_RUN, "", row.source]
            else:
                spread = group.spread(own.readout, measure)
                yield [*cells, str(spread), shown(spread.mean - reported, "+.2f"), row.source]


def _reported(figure: Figure, source: str) -> tuple[str, float]:
    """(measure of ours, value): the average where the source has it, otherwise the last accuracy."""
    if figure.average is not None:
        return "average_without_first" if "without the first step" in source else "average", figure.average
    if figure.last is None:
        raise ValueError(f"a published figure has neither an average nor a last accuracy: {figure}")
    return "last", figure.last
