"""A request that is handed in while the updater looks."""

from pathlib import Path

import pytest

from handlers.bucket.edit_documents import Rename
from handlers.bucket.edit_requests import BELL, EditDesk
from handlers.bucket.updates import UpdateRecords
from model_store.directory.directory_store import DirectoryStore
from model_store.objects import StoreUnavailableError
from model_store.versions import VersionStore
from tests.support.stores.acted_on import before
from tools.manifests import make_manifest


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    store = DirectoryStore(tmp_path / "store")
    (tmp_path / "model").write_bytes(b"model")
    versions = VersionStore(store)
    versions.publish(make_manifest(1), {"model.onnx": tmp_path / "model"})
    versions.point_to(1, "test")
    return store


def test_whoever_looks_while_a_request_is_written_finds_it_then_or_when_the_bell_rings(
    store: DirectoryStore,
) -> None:
    for number in range(100):
        listener = EditDesk(store, UpdateRecords(store), poll_seconds=0)
        found = [listener.next()]

        def look(found: list[object] = found, listener: EditDesk = listener) -> None:
            found.append(listener.next())

        asking = before(store, number, look)
        request = EditDesk(asking, UpdateRecords(asking)).submit(Rename(name="cat", to="lion"))  # type: ignore[arg-type]  # by __getattr__
        look()
        assert request in found, number
        store.delete(f"requests/{request.id}.json")
        if asking.calls <= number:
            break
    assert number > 3


@pytest.mark.parametrize("lost", ["stat", "list", "read"])
@pytest.mark.parametrize("heard", [False, True])
def test_a_request_is_not_forgotten_when_a_call_is_lost(
    store: DirectoryStore, monkeypatch: pytest.MonkeyPatch, lost: str, heard: bool
) -> None:
    """``heard``: the bell has been heard before, and the updater looks because an update has ended."""
    desk = EditDesk(store, UpdateRecords(store), poll_seconds=0)
    request = desk.submit(Rename(name="cat", to="lion"))
    if heard:
        assert desk.next() == request
        desk.settle(None, None)

    def fails(*_: object, **__: object) -> None:
        raise StoreUnavailableError("the answer was lost")

    with monkeypatch.context() as patched:
        patched.setattr(store, lost, fails)
        with pytest.raises(StoreUnavailableError):
            desk.next()
    assert desk.next() == request


def test_a_request_is_found_that_a_listing_does_not_show_yet(
    store: DirectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It rings once; so does the one before it, which shows as late."""
    desk, others = (EditDesk(store, UpdateRecords(store), poll_seconds=0) for _ in range(2))
    assert desk.next() is None
    first, second = (others.submit(Rename(name="cat", to=name)) for name in ("lion", "tiger"))
    with monkeypatch.context() as patched:
        patched.setattr(store, "list", lambda _: iter(()))
        assert desk.next() == second
        assert desk.next() == second
    assert desk.next() == first
    assert desk.next() is None  # nobody has rung since


def test_a_bell_that_is_no_document_is_heard_once(store: DirectoryStore) -> None:
    desk, other = (EditDesk(store, UpdateRecords(store), poll_seconds=0) for _ in range(2))
    request = other.submit(Rename(name="cat", to="lion"))
    store.write(BELL, b"{")
    assert desk.next() == request
    assert desk.next() is None
