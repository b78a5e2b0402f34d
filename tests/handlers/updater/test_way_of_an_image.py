"""A dropped image passes each room of the updater once, in the order in which ARCHITECTURE.md tells its way."""

import re
from pathlib import Path

from handlers.updater.context.update import Services, Update
from handlers.updater.intake.listing import scan
from handlers.updater.intake.selection import select
from handlers.updater.workflow.learn_steps import ingest, prepare
from tests.handlers.conftest import Drop
from tools.walk.first_calls import returns, walked

ARCHITECTURE = Path(__file__).parents[3] / "ARCHITECTURE.md"


def told() -> list[str]:
    """The rooms of the updater that the page names, in its order."""
    text = ARCHITECTURE.read_text(encoding="utf-8").partition("## The way of an image")[2]
    return re.findall(r"-> `updater/(\w+)`", text)


def test_intake_and_training_are_passed_once_and_in_order(services: Services, drop: Drop) -> None:
    drop("zero", 0, 10)
    drop("one", 1, 10)
    begun: list[Update] = []

    def begin() -> None:
        folders = select(list(scan(services.objects).values()), 10_000, first=True)
        begun.append(Update(services, services.records.begin(folders)))

    walks = [walked(begin), walked(lambda: ingest(begun[0])), walked(lambda: prepare(begun[0]))]
    assert [returns(walk.rooms) for walk in walks] == [0, 0, 0], [walk.text() for walk in walks]
    rooms = dict.fromkeys(room for walk in walks for room in walk.rooms if room != "workflow")
    assert list(rooms) == told()[:2] == ["intake", "training"]
    stages = ("intake/listing", "intake/selection", "intake/reader", "intake/roles", "training/arrays")
    entered = dict.fromkeys(module for walk in walks for module in walk.modules)
    assert [module for module in entered if module in stages] == list(stages)
