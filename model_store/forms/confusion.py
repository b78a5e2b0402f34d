"""Which classes were answered for which: a table in memory; where classes are many, stored as what is not zero.

A table has a count for each pair of classes, nearly all of them zero: at 10,000 classes it was 860 MiB of JSON in every
version, and what is not zero is at most one entry for each measured image.
"""

from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, PlainSerializer, ValidatorFunctionWrapHandler, WrapValidator

LARGEST_TABLE = 256
"""Classes up to which the table itself is stored, as releases before 0.3 read it."""

Table = tuple[tuple[int, ...], ...]


class Cells(BaseModel):
    """The stored form: for each pair that occurs its true class, the answered one, and how many images."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    classes: int
    true: tuple[int, ...]
    answered: tuple[int, ...]
    images: tuple[int, ...]


def table_of(classes: int, cells: Iterable[tuple[int, int, int]]) -> Table:
    """Rows of ``classes`` counts from (true, answered, images). Raises ``ValueError`` for a class beyond them."""
    rows: dict[int, dict[int, int]] = {}
    for true, answered, images in cells:
        if not (0 <= true < classes and 0 <= answered < classes):
            raise ValueError(f"the confusion of {classes} classes names class {max(true, answered)}")
        rows.setdefault(true, {})[answered] = images
    empty = (0,) * classes
    return tuple(_row(rows[true], classes) if true in rows else empty for true in range(classes))


def cells_of(table: Table) -> Cells:
    """What is not zero, row by row."""
    found = [(row, column, count) for row, counts in enumerate(table) for column, count in enumerate(counts) if count]
    true, answered, images = zip(*found, strict=True) if found else ((), (), ())
    return Cells(classes=len(table), true=true, answered=answered, images=images)


def is_large(table: Table) -> bool:
    """Whether only what is not zero is stored."""
    return len(table) > LARGEST_TABLE


def _row(counts: dict[int, int], classes: int) -> tuple[int, ...]:
    row = [0] * classes
    for column, count in counts.items():
        row[column] = count
    return tuple(row)


def _read(stored: Any, check: ValidatorFunctionWrapHandler) -> Table:
    if not isinstance(stored, dict):
        table: Table = check(stored)
        return table
    cells = Cells.model_validate(stored)
    return table_of(cells.classes, zip(cells.true, cells.answered, cells.images, strict=True))


def _write(table: Table) -> Table | dict[str, Any]:
    return cells_of(table).model_dump() if is_large(table) else table


StoredTable = Annotated[Table, WrapValidator(_read), PlainSerializer(_write)]
"""For the field of a document."""
