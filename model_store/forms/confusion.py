"""Which classes were answered for which: the pairs that occur, which are at most one for each measured image.

A table has a count for each pair of classes, nearly all of them zero: at 10,000 classes it was 860 MiB of JSON in every
version, and 0.8 GiB in memory.
"""

from collections.abc import Iterable
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer, TypeAdapter, model_validator

LARGEST_TABLE = 256
"""Classes up to which the table itself is stored, as releases before 0.3 read it."""

Table = tuple[tuple[int, ...], ...]
_TABLE: TypeAdapter[Table] = TypeAdapter(Table)


class Confusion(BaseModel):
    """For each pair that occurs its true class, the answered one, and how many images; ascending by the two classes."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    classes: int
    true: tuple[int, ...]
    answered: tuple[int, ...]
    images: tuple[int, ...]

    @classmethod
    def of(cls, classes: int, pairs: Iterable[tuple[int, int, int]]) -> Self:
        """From (true, answered, images) in any order. Raises ``ValueError`` for a class beyond ``classes``."""
        found = sorted(pair for pair in pairs if pair[2])
        true, answered, images = zip(*found, strict=True) if found else ((), (), ())
        return cls(classes=classes, true=true, answered=answered, images=images)

    @classmethod
    def of_table(cls, table: Table) -> Self:
        """From counts, [true class][answered class]. Raises ``ValueError`` for a table that is not square."""
        if any(len(row) != len(table) for row in table):
            raise ValueError(f"the confusion of {len(table)} classes has a row of another length")
        return cls.of(len(table), ((t, a, count) for t, row in enumerate(table) for a, count in enumerate(row)))

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if not len(self.true) == len(self.answered) == len(self.images):
            raise ValueError("the confusion has columns of different lengths")
        highest = max((*self.true, *self.answered), default=-1)
        if min((*self.true, *self.answered), default=0) < 0 or highest >= self.classes:
            raise ValueError(f"the confusion of {self.classes} classes names class {highest}")
        return self

    def pairs(self) -> Iterable[tuple[int, int, int]]:
        """(true, answered, images)."""
        return zip(self.true, self.answered, self.images, strict=True)

    def measured(self) -> list[int]:
        """How many images of each class were shown."""
        found = [0] * self.classes
        for true, _, images in self.pairs():
            found[true] += images
        return found

    def right(self) -> list[int]:
        """How many images of each class were answered as it."""
        found = [0] * self.classes
        for true, answered, images in self.pairs():
            found[true] += images if true == answered else 0
        return found

    def table(self) -> Table:
        """Counts, [true class][answered class]: for few classes."""
        rows = [[0] * self.classes for _ in range(self.classes)]
        for true, answered, images in self.pairs():
            rows[true][answered] = images
        return tuple(map(tuple, rows))

    @property
    def is_large(self) -> bool:
        """Whether only what occurs is stored."""
        return self.classes > LARGEST_TABLE


def _read(stored: Any) -> Any:
    return Confusion.of_table(_TABLE.validate_python(stored)) if isinstance(stored, list | tuple) else stored


def _write(confusion: Confusion) -> Table | dict[str, Any]:
    return confusion.model_dump() if confusion.is_large else confusion.table()


StoredConfusion = Annotated[Confusion, BeforeValidator(_read), PlainSerializer(_write)]
"""For the field of a document."""
