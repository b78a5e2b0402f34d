"""Folders as people fill them, and what an update makes of them."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from handlers.bucket.update_documents import Plan
from handlers.bucket.updates import UpdateRecords
from handlers.settings import Settings
from handlers.updater.context.troubled import Troubled
from handlers.updater.intake.listing import scan
from handlers.updater.intake.plan import Ingest
from handlers.updater.intake.selection import select
from model_store.directory.directory_store import DirectoryStore
from model_store.objects import ObjectStore
from model_store.versions import VersionStore

SIDE = 16
MakePlan = Callable[..., Plan]


def put(root: Path, files: dict[str, bytes], folder: str = "incoming") -> None:
    """Files that are old enough to have settled."""
    for name, data in files.items():
        path = root / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        os.utime(path, (1, 1))


def ingest(
    store: ObjectStore,
    settings: Settings,
    work: Path,
    *,
    limit: int = 10_000,
    troubled: Troubled | None = None,
) -> Plan:
    """Begin a first update with all that lies in ``incoming/``, and plan it."""
    troubled = troubled or Troubled()
    intent = UpdateRecords(store).begin(select(list(scan(store, troubled).values()), limit, first=True))
    maker = Ingest(store, VersionStore(store), settings, SIDE, troubled=troubled)
    return maker.run(intent, None, work, lambda: None)


@pytest.fixture
def make_plan(store: DirectoryStore, settings: Settings, tmp_path: Path) -> MakePlan:
    """The same for the store of a test; its work folder is ``tmp_path / "work"``."""
    return lambda **options: ingest(store, settings, tmp_path / "work", **options)


def reasons(plan: Plan) -> dict[str, str]:
    return {entry.key: entry.reason or "" for entry in plan.of_role("rejected")}
