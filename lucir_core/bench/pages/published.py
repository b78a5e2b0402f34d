"""Published figures with their sources, to stand beside our own; `published.yaml` says what may be in it."""

from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, NamedTuple

import yaml


class Figure(NamedTuple):
    """Of one method and number of phases, in percent; None where the source does not say."""

    average: float | None
    spread: float | None = None
    last: float | None = None


@dataclass(frozen=True)
class PublishedRow:
    """One line of a paper's table."""

    method: str
    source: str
    trust: str
    """`read`, `transcription` or `recomputed`."""
    figures: dict[int, Figure]
    """By number of phases."""
    curve: tuple[int, tuple[float, ...]] | None = None
    """(phases, accuracy after each in percent)."""
    ours: str | None = None
    """Title of our line with these settings, where it is not that of the method in general."""


@dataclass(frozen=True)
class PublishedTable:
    """Figures that may be compared with each other: one protocol, one network."""

    title: str
    protocol: str
    network: str
    columns: tuple[int, ...]
    rows: tuple[PublishedRow, ...]


@cache
def published_tables() -> tuple[PublishedTable, ...]:
    """All tables of `published.yaml`."""
    text = (resources.files("lucir_core.bench.pages") / "published.yaml").read_text(encoding="utf-8")
    return tuple(
        PublishedTable(
            title=table["title"],
            protocol=table["protocol"],
            network=table["network"],
            columns=tuple(table["columns"]),
            rows=tuple(_row(row) for row in table["rows"]),
        )
        for table in yaml.safe_load(text)
    )


def _row(values: dict[str, Any]) -> PublishedRow:
    figures = {
        phases: Figure(*figure) if isinstance(figure, list) else Figure(figure)
        for phases, figure in values["values"].items()
    }
    curve = values.get("curve")
    return PublishedRow(
        method=values["method"],
        source=values["source"],
        trust=values["trust"],
        figures=figures,
        curve=None if curve is None else (curve["phases"], tuple(curve["values"])),
        ours=values.get("ours"),
    )
