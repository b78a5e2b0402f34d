"""Versions and ended updates without learning, and the removal of old ones."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from handlers.bucket.update_documents import Entry, FolderIntent
from handlers.bucket.updates import UpdateRecords
from handlers.retention.prune import Pruned, Retention
from handlers.settings import RetentionSettings
from model_store.directory.directory_store import DirectoryStore
from model_store.manifest import now
from model_store.versions import VersionStore
from tests.support.documents import make_done, make_entry, make_plan
from tools.manifests import make_manifest

Publish = Callable[..., int]


@pytest.fixture
def publish(versions: VersionStore, tmp_path: Path) -> Publish:
    """Publish a version made by the update of its number; ``days`` ago. Gives its number, the last of ``times``."""

    def run(times: int = 1, *, point: bool = True, days: float = 1, **fields: Any) -> int:
        for _ in range(times - 1):
            run(point=point, days=days, **fields)
        number = versions.next_number()
        file = tmp_path / "model"
        file.write_bytes(b"model %d" % number)
        pointer = versions.current()
        parent = pointer.version if pointer is not None else None
        facts = {"parent": parent, "created_at": now() - timedelta(days=days), **fields}
        versions.publish(make_manifest(number, **facts), {"model.onnx": file})
        if point:
            versions.point_to(number, "test")
        return number

    return run


@pytest.fixture
def record(store: DirectoryStore) -> Callable[..., None]:
    """Write the documents of an update that ended ``days`` ago, with an archived and a rejected original."""
    records = UpdateRecords(store)

    def entry(update: str, role: Any, prefix: str) -> Entry:
        target = f"{prefix}/{update}/cat/{role}.png"
        store.write(target, b"png")
        if role == "rejected":
            store.write(f"{target}.reason.json", b"{}")
        return make_entry(f"incoming/cat/{role}.png", role, reason=None, target=target)

    def run(version: int | None, *, days: float = 1, ended: bool = True, parent: int | None = None) -> str:
        update = records.begin({"cat": FolderIntent(fingerprint="f", limit=5, marked=False)}).id
        entries = (entry(update, "train", "archive"), entry(update, "rejected", "rejected"))
        classes = {"classes": ("cat", "dog"), "new_classes": (), "updated_classes": ("cat",)}
        records.write_plan(make_plan(update, entries, parent=parent, version=version, **classes))
        if ended:
            finished = now() - timedelta(days=days)
            records.write_done(make_done(update, "published", version, finished_at=finished, moved=2))
        return update

    return run


@pytest.fixture
def prune(store: DirectoryStore) -> Callable[..., Pruned]:
    def run(*, dry: bool = False, limit: int = 50, **policy: Any) -> Pruned:
        return Retention(store, RetentionSettings(**{"keep_versions": 2, **policy})).run(dry=dry, limit=limit)

    return run


Prune = Callable[..., Pruned]
Record = Callable[..., str]
