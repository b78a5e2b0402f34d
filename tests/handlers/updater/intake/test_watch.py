"""Looking at very many objects: what is kept is about folders, not about objects."""

import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from handlers.settings import UpdaterSettings
from handlers.updater.intake.watch import LONGEST_PAUSE, Watcher, rest_after
from handlers.updater.metrics import Metrics
from handlers.updater.status import Status
from model_store.directory.directory_store import DirectoryStore
from model_store.objects import ObjectInfo

OBJECTS = 100_000
MIB = 1024 * 1024


class Crowded(DirectoryStore):
    """A store that lists as many objects as it is told, one by one."""

    crowd = 0

    def list_everything(self, prefix: str) -> Iterator[ObjectInfo]:
        for number in range(self.crowd):
            yield ObjectInfo(f"{prefix}{number % 2}/{number:06}.png", 1000, f"{number:032x}", 1e9)


@pytest.mark.slow
def test_a_hundred_thousand_objects_take_no_memory(root: Path) -> None:
    crowded = Crowded(root)
    watcher = Watcher(crowded, UpdaterSettings(), Metrics(), Status(crowded.url))
    watcher.look()
    tracemalloc.start()
    try:
        crowded.crowd = OBJECTS
        for _ in range(2):
            watcher.look()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert sum(state.folder.images for state in watcher.look()) == OBJECTS
    assert peak < 1 * MIB


@pytest.mark.parametrize(
    ("spent", "failed", "rest"),
    [(0.01, False, 0.1), (4.0, False, 8.0), (3600.0, False, LONGEST_PAUSE), (3600.0, True, 1.0)],
)
def test_a_hint_is_heard_soon_however_long_a_listing_took(spent: float, failed: bool, rest: float) -> None:
    """A machine may have slept in the middle of it."""
    assert rest_after(spent, failed=failed) == rest
