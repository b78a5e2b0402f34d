"""The confusion of many classes: small in memory and where it is stored, the same where it is read."""

import json
import tracemalloc

import pytest

from model_store.documents import CorruptVersionError, encode, parse
from model_store.forms.confusion import LARGEST_TABLE, Confusion
from model_store.manifest import Evaluation
from tests.support.documents import make_evaluation

MANY = 1000


def read(data: bytes) -> Evaluation:
    return parse(Evaluation, data, "evaluation.json", "restore it")


def test_of_many_classes_only_what_is_not_zero_is_stored() -> None:
    """A table of 1,000 classes was 8.6 MiB."""
    names = tuple(f"class {number}" for number in range(MANY))
    confusion = Confusion.of(MANY, [(number, number, 9) for number in range(MANY)] + [(3, 7, 1)])
    written = encode(make_evaluation(1, names, confusion=confusion))
    assert len(written) < 250_000
    assert json.loads(written)["format"] == 2
    assert read(written).confusion == confusion
    assert encode(read(written)) == written


@pytest.mark.parametrize("classes", [1, LARGEST_TABLE])
def test_of_few_classes_the_table_is_stored_as_earlier_releases_read_it(classes: int) -> None:
    confusion = Confusion.of(classes, [(classes - 1, 0, 5)])
    written = json.loads(encode(make_evaluation(1, confusion=confusion)))
    assert (written["format"], written["confusion"][classes - 1][0]) == (1, 5)
    assert read(json.dumps(written).encode()).confusion == confusion


@pytest.mark.parametrize(
    "cells",
    [
        {"classes": 2, "true": [2], "answered": [0], "images": [1]},
        {"classes": 2, "true": [0]},
        {"classes": 2, "true": [0], "answered": [], "images": [1]},
        [[1, 2], [3]],
        [[0, 0, 1]],
        [1, 2],
    ],
)
def test_a_table_that_contradicts_itself_is_damaged(cells: object) -> None:
    written = json.loads(encode(make_evaluation(1))) | {"confusion": cells}
    with pytest.raises(CorruptVersionError, match="confusion"):
        read(json.dumps(written).encode())


def test_of_ten_thousand_classes_little_memory_is_taken() -> None:
    """A table of them takes 800 MiB."""
    names = tuple(f"class {number}" for number in range(10_000))
    tracemalloc.start()
    try:
        pairs = [(number, (number + step) % 10_000, 1 + step) for number in range(10_000) for step in (0, 1)]
        written = encode(make_evaluation(1, names, confusion=Confusion.of(10_000, pairs)))
        found = read(written).confusion
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (sum(found.right()), set(found.measured())) == (10_000, {3})
    assert peak < 100 * 2**20


def test_a_confusion_is_counted_as_its_table_is() -> None:
    table = ((5, 2, 0), (0, 0, 0), (1, 0, 4))
    confusion = make_evaluation(1, confusion=table).confusion
    assert (confusion.measured(), confusion.right(), confusion.table()) == ([7, 0, 5], [5, 0, 4], table)
    assert list(confusion.pairs()) == [(0, 0, 5), (0, 1, 2), (2, 0, 1), (2, 2, 4)]
