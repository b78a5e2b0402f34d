"""Every document of the store has a format: newer ones are refused with the remedy, older and longer ones are read."""

import json
from pathlib import Path
from typing import Any

import pytest

from handlers.bucket.backup import BackupRecord
from handlers.bucket.edit_documents import EditAnswer, EditPlan, EditRequest
from handlers.bucket.edit_requests import Bell
from handlers.bucket.report_document import Report
from handlers.bucket.update_documents import (
    Attempts,
    ChosenPresets,
    Done,
    FailedFolders,
    Intent,
    LeaseRecord,
    Plan,
    Reason,
    RefusedClasses,
    TriedRefinements,
)
from handlers.torchserve.canary import Canary
from model_store.directory.directory_store import DirectoryStore
from model_store.documents import Claim, CorruptVersionError, NewerFormatError, RemovalLog, encode, parse
from model_store.manifest import FORMAT, Evaluation, Manifest, Pointer, StoredDocument
from model_store.objects import ObjectStore
from model_store.versions import VersionStore
from tests.support.stores.old_store import OLD

KINDS: dict[str, type[StoredDocument]] = {
    "manifest.json": Manifest,
    "evaluation.json": Evaluation,
    "current.json": Pointer,
    "claim.json": Claim,
    "canary.json": Canary,
    "report.json": Report,
    "removed.json": RemovalLog,
    "plan.json": Plan,
    "intent.json": Intent,
    "done.json": Done,
    "edit.json": EditPlan,
    "answer.json": EditAnswer,
    "lease.json": LeaseRecord,
    "last.json": Bell,
}
"""Of the store of an earlier release, by file name; a request has a name of its own."""
NEVER_THERE = {Attempts, BackupRecord, ChosenPresets, FailedFolders, RefusedClasses, TriedRefinements}
"""Ended updates have none, a store is not a backup, and the earlier release learnt nothing again."""


def kind_of(path: Path) -> type[StoredDocument]:
    if path.name.endswith(".reason.json"):
        return Reason
    return KINDS[path.name] if path.parent.name != "requests" or path.name == "last.json" else EditRequest


def documents() -> list[Path]:
    return sorted(OLD.rglob("*.json"))


def padded(value: Any) -> Any:
    """With one more field in each object that has any of its own."""
    if isinstance(value, dict):
        return {**{name: padded(each) for name, each in value.items()}, **({"of a later release": 1} if value else {})}
    return [padded(each) for each in value] if isinstance(value, list) else value


def test_every_kind_of_document_is_tried() -> None:
    def below(kind: type[StoredDocument]) -> set[type[StoredDocument]]:
        return {kind, *(each for child in kind.__subclasses__() for each in below(child))}

    assert {kind_of(path) for path in documents()} | NEVER_THERE == below(StoredDocument) - {StoredDocument}


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(OLD)))
def test_documents_of_an_earlier_release_are_read(path: Path) -> None:
    """Many of them had no format."""
    document = parse(kind_of(path), path.read_bytes(), path.name, "-")
    assert document.format == 1
    assert json.loads(encode(document))["format"] == FORMAT


@pytest.mark.parametrize(
    "kind", [*KINDS.values(), EditRequest, Reason, *sorted(NEVER_THERE, key=lambda kind: kind.__name__)]
)
def test_a_newer_format_is_not_called_damaged(kind: type[StoredDocument]) -> None:
    with pytest.raises(
        NewerFormatError, match=rf"written by a newer lucir \(format 9, this one knows {kind.HIGHEST}\): upgrade"
    ) as seen:
        parse(kind, b'{"format": 9, "all": "different"}', "a document", "restore it from a copy")
    assert "damaged" not in str(seen.value)
    assert not isinstance(seen.value, CorruptVersionError)


@pytest.mark.parametrize("data", [b'{"format": "2"}', b'{"format": -1}', b"[2]", b"no JSON", b'{"format": null}'])
def test_what_is_no_format_is_damaged(data: bytes) -> None:
    with pytest.raises(CorruptVersionError, match="damaged"):
        parse(Manifest, data, "a document", "restore it")


@pytest.mark.parametrize("kind", sorted(set(KINDS.values()), key=lambda kind: kind.__name__))
def test_fields_of_a_later_release_are_passed_over(kind: type[StoredDocument]) -> None:
    path = next(path for path in documents() if kind_of(path) is kind)
    known = parse(kind, path.read_bytes(), path.name, "-")
    extended = {**json.loads(path.read_bytes()), "format": FORMAT, "of a later release": {"any": ["thing"]}}
    assert parse(kind, json.dumps(extended).encode(), path.name, "-") == known


def test_fields_of_parts_are_passed_over_too() -> None:
    manifest = json.loads((OLD / "versions" / "4" / "manifest.json").read_bytes())
    for part in ("preprocessing", "counts"):
        manifest[part] = padded(manifest[part]) if part == "preprocessing" else {**manifest[part], "later": {}}
    manifest["files"] = {name: padded(record) for name, record in manifest["files"].items()}
    assert parse(Manifest, json.dumps(manifest).encode(), "m", "-").classes


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    """A version and a pointer of a later release."""
    store = DirectoryStore(tmp_path / "store")
    store.write("versions/7/manifest.json", b'{"format": 2}')
    store.write("versions/current.json", b'{"format": 2, "version": {"number": 7}}')
    return store


def test_a_pointer_of_a_later_release_is_neither_followed_nor_replaced(store: ObjectStore) -> None:
    versions = VersionStore(store)
    with pytest.raises(NewerFormatError, match=r"current\.json was written by a newer lucir"):
        versions.current()
    with pytest.raises(NewerFormatError, match="upgrade"):
        versions.manifest(7)
    with pytest.raises(NewerFormatError, match="upgrade"):
        versions.point_to(7, "rollback")
    assert b'"format": 2' in store.read("versions/current.json")
