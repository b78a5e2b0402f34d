"""The confusion of many classes: small where it is stored, the same table where it is read."""

import json

import pytest

from model_store.documents import CorruptVersionError, encode, parse
from model_store.forms.confusion import LARGEST_TABLE, table_of
from model_store.manifest import Evaluation
from tests.support.documents import make_evaluation

MANY = 1000


def read(data: bytes) -> Evaluation:
    return parse(Evaluation, data, "evaluation.json", "restore it")


def test_of_many_classes_only_what_is_not_zero_is_stored() -> None:
    """A table of 1,000 classes was 8.6 MiB."""
    names = tuple(f"class {number}" for number in range(MANY))
    table = table_of(MANY, [(number, number, 9) for number in range(MANY)] + [(3, 7, 1)])
    written = encode(make_evaluation(1, names, confusion=table))
    assert len(written) < 250_000
    assert json.loads(written)["format"] == 2
    assert read(written).confusion == table
    assert encode(read(written)) == written


@pytest.mark.parametrize("classes", [1, LARGEST_TABLE])
def test_of_few_classes_the_table_is_stored_as_earlier_releases_read_it(classes: int) -> None:
    table = table_of(classes, [(classes - 1, 0, 5)])
    written = json.loads(encode(make_evaluation(1, confusion=table)))
    assert (written["format"], written["confusion"][classes - 1][0]) == (1, 5)
    assert read(json.dumps(written).encode()).confusion == table


@pytest.mark.parametrize(
    "cells",
    [
        {"classes": 2, "true": [2], "answered": [0], "images": [1]},
        {"classes": 2, "true": [0]},
        {"classes": 2, "true": [0], "answered": [], "images": [1]},
    ],
)
def test_a_table_that_contradicts_itself_is_damaged(cells: dict[str, object]) -> None:
    written = json.loads(encode(make_evaluation(1))) | {"confusion": cells}
    with pytest.raises(CorruptVersionError, match="confusion"):
        read(json.dumps(written).encode())
