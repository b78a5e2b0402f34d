"""Passed, refused, or too few images to tell: by the intervals of what was measured, of all and of single classes."""

from collections.abc import Collection

import pytest

from handlers.settings import GateSettings
from handlers.updater.release.gate import Evidence, judge
from model_store.manifest import Gate
from tests.support.learning.predictions import predictions

SETTINGS = GateSettings(max_old_accuracy_loss=0.1, min_new_accuracy=0.5, min_class_accuracy=0.0)
CLASSES = ("cat", "dog", "bird")


def answers(right: dict[int, int], count: int) -> list[tuple[int, int]]:
    """Of ``count`` images of each class so many are right; the others are taken for the next class."""
    return [
        (label, label if index < hits else (label + 1) % len(CLASSES))
        for label, hits in right.items()
        for index in range(count)
    ]


def gate(
    after: dict[int, int],
    before: dict[int, int],
    count: int = 100,
    *,
    settings: GateSettings = SETTINGS,
    remade: Collection[int] = (),
) -> Gate:
    """Classes 0 and 1 are old ones; class 2 is new."""
    return judge(
        settings, Evidence(CLASSES, predictions(answers(after, count)), predictions(answers(before, count)), 2, remade)
    )


@pytest.mark.parametrize(
    ("after", "words"),
    [
        ({0: 90, 1: 90, 2: 90}, None),
        ({0: 85, 1: 85, 2: 90}, None),  # exactly the bound
        ({0: 70, 1: 80, 2: 90}, "fell from 95.0% (190 of 200 images) to 75.0% (150 of 200 images) right"),
        ({0: 90, 1: 90, 2: 35}, "new classes is 35.0% (35 of 100 images) right"),
        ({0: 90, 1: 90, 2: 35}, "taken were 'bird' 65 times for 'cat': more images"),
        ({0: 90, 1: 40, 2: 90}, "taken were 'dog' 60 times for 'bird', 'cat' 10 times for 'dog'"),
        ({2: 50}, None),
        ({0: 90, 1: 90}, None),
    ],
)
def test_bounds(after: dict[int, int], words: str | None) -> None:
    found = gate(after, {0: 95, 1: 95})
    assert found.passed == (words is None)
    assert found.undecided == ()
    assert words is None or words in found.reasons[0]


def test_both_reasons_are_told() -> None:
    assert len(gate({0: 10, 1: 10, 2: 10}, {0: 90, 1: 90}).reasons) == 2


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_few_wrong_answers_tell_nothing(count: int) -> None:
    """The same shares that refuse a version on a hundred images."""
    found = gate({0: count, 1: count, 2: 0}, {0: count, 1: count}, count, settings=GateSettings())
    assert (found.passed, found.answer) == (True, "inconclusive")
    assert f"new classes is 0 of {count} image" in found.undecided[0]
    assert " 0.0%" not in found.undecided[0], "a percentage of so few images says nothing"
    strict = GateSettings(inconclusive="refuse")
    found = gate({0: count, 1: count, 2: 0}, {0: count, 1: count}, count, settings=strict)
    assert (found.passed, found.answer) == (False, "refused")
    assert "gate.inconclusive" in found.reasons[0]


def test_where_nothing_can_be_measured_the_setting_decides() -> None:
    assert gate({}, {}).answer == "inconclusive"
    assert "nothing was measured" in gate({}, {}).undecided[0]
    assert not gate({}, {}, settings=GateSettings(inconclusive="refuse")).passed


def test_a_class_that_is_never_answered_is_refused_and_says_what_it_is_taken_for() -> None:
    floor = GateSettings(max_old_accuracy_loss=1.0, min_new_accuracy=0.0)
    found = gate({0: 17, 1: 17, 2: 0}, {0: 17, 1: 17}, 17, settings=floor)
    assert found.answer == "refused"
    assert "of class 'bird' 0 of 17 images are answered rightly, 17 of them taken for 'cat'" in found.reasons[0]
    assert gate({0: 8, 1: 8, 2: 0}, {0: 8, 1: 8}, 8, settings=floor).answer == "inconclusive"
    assert gate({0: 1, 1: 1, 2: 0}, {0: 1, 1: 1}, 1, settings=floor).answer == "passed"


def test_an_old_class_counts_when_it_was_lost_and_not_when_it_was_never_known() -> None:
    floor = GateSettings(max_old_accuracy_loss=1.0, min_new_accuracy=0.0)
    assert not gate({0: 0, 1: 40, 2: 40}, {0: 40, 1: 40}, 40, settings=floor).passed
    assert gate({0: 0, 1: 40, 2: 40}, {0: 0, 1: 40}, 40, settings=floor).answer == "passed"
    # ... but a merge has made it anew: the parent knew no such class either
    assert not gate({0: 0, 1: 40}, {0: 0, 1: 40}, 17 + 23, settings=floor, remade=(0,)).passed
