"""Faults that were once in the product, or could be, put back into it: what does not find them is blind."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from inspect import getattr_static
from pathlib import Path
from types import ModuleType
from typing import Any

from handlers import classifier
from handlers.bucket import edit_rules
from handlers.bucket.layout import INCOMING, READY_MARKER, REASON_SUFFIX
from handlers.classifier import Classifier
from handlers.inference.workers.slot import MODELS_VARIABLE, WORKERS_VARIABLE, Slot
from handlers.torchserve.in_place.exchange import Exchange
from handlers.updater.http.changes import retries
from handlers.updater.leader.fenced_store import FencedStore
from handlers.updater.leader.lease import Lease
from model_store.manifest import Manifest, Pointer
from model_store.objects import ObjectInfo, ObjectStore
from model_store.pointer_file import PointerFile
from model_store.publication import Publication
from model_store.removal import VersionRemover
from tools.simulation.bucket import SimulatedStore


def _written_blindly(self: FencedStore, key: str, data: bytes, *, only_if_absent: bool = False) -> ObjectInfo:
    del only_if_absent
    return self._objects.write(key, data)


def _replaced_blindly(self: FencedStore, key: str, data: bytes, *, expected_etag: str) -> ObjectInfo:
    del expected_etag
    return self._objects.write(key, data)


def _any_epoch(self: PointerFile, found: Any, pointer: Pointer) -> Pointer:
    """Whoever comes last is right."""
    del found
    changed = pointer.model_copy(update={"epoch": self._epoch()})
    self._objects.write("versions/current.json", changed.model_dump_json().encode())
    return changed


def _manifest_first(self: Publication) -> Manifest:
    self._objects.write(f"versions/{self._manifest.version}/manifest.json", self._manifest.model_dump_json().encode())
    return _run(self)


def _manifest_last(self: VersionRemover, number: int, names: Any, outcome: Any) -> None:
    first, *rest = names
    _remove_files(self, number, (*rest, first), outcome)


def _taken_by_anybody(self: Lease, before: Any, etag: str) -> None:
    del etag
    self._objects.delete("updates/lease.json")
    _take(self, before, "")


def _moved_by_halves(
    self: SimulatedStore, source: str, target: str, *, expected_etag: str | None = None, only_if_absent: bool = False
) -> None:
    """What is lost between the two is lost."""
    del expected_etag, only_if_absent
    data = self.read(source)
    self.delete(source)
    self.write(target, data)


def _loaded_by_nobody(self: Exchange, pids: Any, target: int) -> bool:
    """The link is replaced before a worker holds what it names."""
    del self, pids, target
    return True


def _begun_blindly(self: Classifier, folder: Path, context: Any) -> Any:
    """A worker that starts answers with what its slot was registered with."""
    workers, models = Path(os.environ[WORKERS_VARIABLE]), Path(os.environ[MODELS_VARIABLE])
    model, slot = self.held.load(folder), Slot(workers, int(context.manifest["model"]["modelVersion"]))
    classifier.WorkerSocket(workers, models, self.held, slot.served).listen()
    return lambda: model


@staticmethod
def _answered_once(served: Any, batch: Any) -> Any:
    """Whatever took over meanwhile."""
    return batch.answers(served())


def _tried_again_blindly(objects: ObjectStore, rejected: str, class_name: str | None = None) -> tuple[str, str]:
    """Under the name of the file alone, whatever lies there."""
    name = class_name or rejected.split("/")[2]
    key = f"{INCOMING}{name}/retried/{rejected.rpartition('/')[2]}"
    objects.move(rejected, key)
    objects.delete(rejected + REASON_SUFFIX)
    objects.write(f"{INCOMING}{name}/{READY_MARKER}", b"")
    return key, name


def _any_name(name: str) -> str:
    return name


_run, _remove_files, _take = Publication.run, VersionRemover._remove_files, Lease._take  # noqa: SLF001

PLANTED: Mapping[str, tuple[type[Any] | ModuleType, str, Any]] = {
    "documents are written without a condition": (FencedStore, "write", _written_blindly),
    "documents are replaced without a condition": (FencedStore, "replace", _replaced_blindly),
    "the pointer is written in any epoch": (PointerFile, "replace", _any_epoch),
    "a manifest is written before the files": (Publication, "run", _manifest_first),
    "a removal takes the manifest last": (VersionRemover, "_remove_files", _manifest_last),
    "the lease is taken without a condition": (Lease, "_take", _taken_by_anybody),
    "originals are deleted before they are copied": (SimulatedStore, "move", _moved_by_halves),
    "what is tried again replaces what lies there": (retries, "move_back", _tried_again_blindly),
    "a class gets a name that no folder may have": (edit_rules, "_new_name", _any_name),
    "a version takes over before its workers hold it": (Exchange, "_load", _loaded_by_nobody),
    "a worker that starts does not read its slot": (Classifier, "_versions", _begun_blindly),
    "a batch is answered by a version that was replaced meanwhile": (Classifier, "_newest", _answered_once),
}
"""By what is wrong: where, and what stands in its place."""


@contextmanager
def planted(what: str) -> Iterator[None]:
    """The product with one of them."""
    owner, name, fault = PLANTED[what]
    right = getattr_static(owner, name)  # as it stands there: a static method, too
    setattr(owner, name, fault)
    try:
        yield
    finally:
        setattr(owner, name, right)
