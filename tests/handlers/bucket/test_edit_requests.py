"""A request that is handed in while the updater looks."""

from pathlib import Path

from handlers.bucket.edit_documents import Rename
from handlers.bucket.edit_requests import EditDesk
from handlers.bucket.updates import UpdateRecords
from model_store.directory.directory_store import DirectoryStore
from model_store.versions import VersionStore
from tests.support.stores.acted_on import before
from tools.manifests import make_manifest


def test_whoever_looks_while_a_request_is_written_finds_it_then_or_when_the_bell_rings(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "store")
    (tmp_path / "model").write_bytes(b"model")
    versions = VersionStore(store)
    versions.publish(make_manifest(1), {"model.onnx": tmp_path / "model"})
    versions.point_to(1, "test")
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
