import pytest

from handlers.settings import GateSettings
from handlers.updater.release.gate import judge
from model_store.manifest import Accuracy

SETTINGS = GateSettings(max_old_accuracy_loss=0.1, min_new_accuracy=0.5)


@pytest.mark.parametrize(
    ("old", "new", "parent", "words"),
    [
        (0.9, 0.9, 0.95, None),
        (0.85, 0.9, 0.95, None),  # exactly the bound
        (0.8, 0.9, 0.95, "fell from 95.0% to 80.0%"),
        (0.9, 0.4, 0.9, "new classes is 40.0%"),
        (None, 0.5, None, None),
        (0.9, None, 0.9, None),
    ],
)
def test_bounds(old: float | None, new: float | None, parent: float | None, words: str | None) -> None:
    gate = judge(SETTINGS, 10, Accuracy(all=0.9, old=old, new=new), parent)
    assert gate.passed == (words is None)
    assert words is None or words in gate.reasons[0]


def test_nothing_measured_is_not_served() -> None:
    gate = judge(SETTINGS, 0, Accuracy(all=0, old=None, new=None), None)
    assert "nothing was measured" in gate.reasons[0]


def test_both_reasons_are_told() -> None:
    assert len(judge(SETTINGS, 10, Accuracy(all=0.1, old=0.1, new=0.1), 0.9).reasons) == 2
